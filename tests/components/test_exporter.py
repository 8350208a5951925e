"""Exporter calls the pipeline's function with the folders and settings of its artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tfx import types
from tfx.types.standard_artifacts import Examples, Model, TransformGraph

from components.exporter.component import Exporter
from components.exporter.executor import Executor, ExportArguments
from tests.components.fixture_artifacts import model_artifact_in
from tests.components.fixture_examples import make_examples
from tokenizer.contract import BaseModelSpec, ContractError


def export_description(arguments: ExportArguments) -> None:
    """An export function of a pipeline: writes what it was given beside the description."""
    trained = arguments.trained_model_dir / "weights.txt"
    spec = BaseModelSpec("t5", "sentencepiece", "f", 9, 0, 1, 8, 4, trained.read_text())
    spec.save(arguments.base_model_dir)
    (arguments.base_model_dir / "given.json").write_text(
        json.dumps(
            [
                str(arguments.transform_output),
                arguments.custom_config,
                list(arguments.held_out()),
            ]
        )
    )


def export_nothing(arguments: ExportArguments) -> None:
    """One that forgets the description."""


def export(root: Path, function: str, examples: Sequence[Examples] = ()) -> Path:
    trained, exported, graph = Model(), model_artifact_in(root / "base"), TransformGraph()
    trained.uri, graph.uri = str(root / "trained"), str(root / "graph")
    (root / "trained" / "Format-Serving").mkdir(parents=True)
    (root / "trained" / "Format-Serving" / "weights.txt").write_text("the weights")
    Executor().Do(
        {"model": [trained], "transform_graph": [graph], "examples": list(examples)},
        {"base_model": [exported]},
        {"export_fn": f"{__name__}.{function}", "custom_config": '{"model": {"num_beams": 2}}'},
    )
    return root / "base" / "Format-Serving"


def test_the_function_is_given_folders_and_settings(tmp_path: Path) -> None:
    directory = export(tmp_path, "export_description")
    assert BaseModelSpec.load(directory).task_prefix == "the weights"
    given = json.loads((directory / "given.json").read_text())
    assert given == [str(tmp_path / "graph"), {"model": {"num_beams": 2}}, []]


def test_it_can_read_what_is_held_out(tmp_path: Path) -> None:
    examples = make_examples(
        tmp_path / "examples", {"train": [("t", "u")], "eval": [("d", "s"), ("e", "é")]}
    )
    directory = export(tmp_path, "export_description", [examples])
    assert json.loads((directory / "given.json").read_text())[2] == [["d", "s"], ["e", "é"]]


def test_a_function_that_leaves_no_description_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"base\.json does not exist"):
        export(tmp_path, "export_nothing")


def test_the_settings_are_the_parameters_in_one_order() -> None:
    def parameters(config: dict[str, int]) -> dict[str, object]:
        component = Exporter(
            types.Channel(type=Model), types.Channel(type=TransformGraph), "m.f", config
        )
        return dict(component.exec_properties)

    expected = {"export_fn": "m.f", "custom_config": '{"a": 1, "b": 2}'}
    assert parameters({"b": 2, "a": 1}) == parameters({"a": 1, "b": 2}) == expected
