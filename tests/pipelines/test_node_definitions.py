"""Which nodes' definitions a setting changes: those that read it, and no others."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipelines.config import load_config
from pipelines.config_sections import ModelConfig
from pipelines.exporting.settings import DECODING_ONLY, export_part, training_part
from pipelines.layout import OutputLayout
from pipelines.node_definitions import NodeDefinition, node_definitions
from pipelines.pipeline import create_pipeline

CONFIG = Path(__file__).parents[2] / "configs" / "tiny.toml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "pairs.jsonl"
    path.write_text(json.dumps({"document": "Opens a record.", "summary": "Open."}) + "\n")
    return path


def definitions(corpus: Path, *overrides: str) -> dict[str, NodeDefinition]:
    config = load_config(CONFIG, overrides)
    layout = OutputLayout(corpus.parent / "out", config.pipeline.name)
    layout.create()
    pipeline = create_pipeline(config, str(corpus), layout)
    return {each.node_id: each for each in node_definitions(Compiler().compile(pipeline))}


@pytest.fixture(scope="module")
def unchanged(corpus: Path) -> dict[str, NodeDefinition]:
    return definitions(corpus)


@pytest.mark.parametrize(
    ("setting", "readers"),
    [
        ("model.num_beams=2", {"Exporter"}),
        ("model.length_penalty=0.5", {"Exporter"}),
        ("model.early_stopping=true", {"Exporter"}),
        ("model.no_repeat_ngram_size=3", {"Exporter"}),
        ("model.repetition_penalty=1.5", {"Exporter"}),
        ("model.banned_ids=[[5]]", {"Exporter"}),
        ("model.force_eos=true", {"Exporter"}),
        ("model.min_output_tokens=2", {"Exporter"}),
        ("export.xla=true", {"Exporter", "MeterValidator", "ServingValidator"}),
        ("model.max_output_tokens=11", {"Trainer", "Exporter"}),
        ("model.dropout=0.3", {"Trainer"}),
        ("training.steps=130", {"Trainer"}),
        ("meter.validate_ids=7", {"MeterValidator"}),
        ("meter.warmup_ids=7", {"Meter"}),
        ("serving.keep_versions=7", {"Pusher"}),
        ("drift.action=off", set()),
        ('pipeline.beam_args=["--key=s3cret"]', set()),
    ],
)
def test_a_setting_changes_the_nodes_that_read_it(
    corpus: Path, unchanged: dict[str, NodeDefinition], setting: str, readers: set[str]
) -> None:
    before, after = unchanged, definitions(corpus, setting)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == readers


def test_the_export_follows_training_and_comes_before_the_meter(
    corpus: Path, unchanged: dict[str, NodeDefinition]
) -> None:
    # Another pipeline of the same settings: nothing in a definition is of one run alone.
    assert definitions(corpus) == unchanged
    found = unchanged
    assert set(found["Exporter"].upstream) == {"Trainer", "Transform"}
    assert "Exporter" in found["Meter"].upstream
    assert "Trainer" not in found["Meter"].upstream


def test_each_setting_of_the_model_is_of_training_or_of_decoding_alone() -> None:
    model = {field.name: None for field in fields(ModelConfig)}
    assert training_part(model).keys() | set(DECODING_ONLY) == model.keys()
    assert not training_part(model).keys() & set(DECODING_ONLY)
    assert set(DECODING_ONLY) < export_part(model).keys()
