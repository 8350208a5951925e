"""What the entry point makes of a node's input, and the parts it is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts, standard_component_specs

from components.artifacts import Tokenizer
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from pipelines.kubeflow.artifact_types import schema_of
from pipelines.kubeflow.corpus import executor as corpus_executor
from pipelines.kubeflow.corpus.component import CorpusExampleGen
from pipelines.kubeflow.entry_point import executor_output
from pipelines.kubeflow.node_input import NodeInputError, read_node_input
from pipelines.kubeflow.span_gate.asked import asked_span
from pipelines.kubeflow.staging import Staging

MODEL_SCHEMA = "title: tfx.Model\ntype: object\n"
INPUTS_SPEC = {
    "artifacts": {
        "model": {"artifactType": {"instanceSchema": MODEL_SCHEMA}},
        "baseline": {"artifactType": {"instanceSchema": MODEL_SCHEMA}},
        "tokenizer": {"artifactType": {"instanceSchema": schema_of(Tokenizer)}},
    },
    "parameters": {
        "steps": {"parameterType": "NUMBER_INTEGER"},
        "name": {"parameterType": "STRING"},
    },
}


def artifact(name: str, uri: str, **metadata: Any) -> dict[str, Any]:
    """As Kubeflow hands on an input: a number for a name, no type."""
    return {
        "artifacts": [
            {"name": name, "uri": uri, "type": {"instanceSchema": ""}, "metadata": metadata}
        ]
    }


def executor_input(**baseline: Any) -> str:
    return json.dumps(
        {
            "inputs": {
                "parameterValues": {"steps": 40.0, "name": "x", "container_image": "i:1"},
                "artifacts": {
                    "model": artifact("12", "minio://bucket/run/Trainer/model"),
                    "baseline": artifact("13", "gs://bucket/run/Champion/model", **baseline),
                    "tokenizer": artifact(
                        "14", "s3://b/t", kind="sentencepiece", vocabulary_size=384.0
                    ),
                },
            },
            "outputs": {
                "artifacts": {
                    "metered_model": {
                        "artifacts": [
                            {
                                "name": "metered_model",
                                "uri": "minio://bucket/run/Meter/metered_model",
                                "type": {"instanceSchema": MODEL_SCHEMA},
                            }
                        ]
                    },
                    "executor-logs": {
                        "artifacts": [
                            {
                                "name": "executor-logs",
                                "uri": "minio://bucket/run/Meter/executor-logs",
                                "type": {"schemaTitle": "system.Artifact"},
                            }
                        ]
                    },
                },
                "outputFile": "/minio/bucket/run/Meter/output_metadata.json",
            },
        }
    )


def test_types_paths_and_numbers_are_what_tfx_expects() -> None:
    node = read_node_input(executor_input(absent=0.0), json.dumps(INPUTS_SPEC), Staging())

    assert isinstance(node.inputs["model"][0], standard_artifacts.Model)
    assert node.inputs["model"][0].uri == "/minio/bucket/run/Trainer/model"
    assert node.inputs["baseline"][0].uri == "/gcs/bucket/run/Champion/model"
    (tokenizer,) = node.inputs["tokenizer"]
    assert isinstance(tokenizer, Tokenizer)
    assert (tokenizer.uri, tokenizer.kind) == ("/s3/b/t", "sentencepiece")
    assert tokenizer.vocabulary_size == 384
    assert node.properties == {"steps": 40, "name": "x"}
    assert type(node.properties["steps"]) is int
    assert set(node.outputs) == {"metered_model"}
    assert node.outputs["metered_model"][0].uri == "/minio/bucket/run/Meter/metered_model"


def test_an_absent_champion_is_no_input() -> None:
    node = read_node_input(executor_input(absent=1.0), json.dumps(INPUTS_SPEC), Staging())
    assert set(node.inputs) == {"model", "tokenizer"}


def test_outputs_are_reported_by_their_uri_with_their_properties() -> None:
    node = read_node_input(executor_input(), json.dumps(INPUTS_SPEC), Staging("/stage"))
    (model,) = node.outputs["metered_model"]
    assert model.uri == "/stage/minio/bucket/run/Meter/metered_model"
    model.set_int_custom_property("size", 3)
    model.set_string_custom_property("note", "n")

    (reported,) = executor_output(node).artifacts["metered_model"].artifacts

    assert reported.uri == "minio://bucket/run/Meter/metered_model"
    assert dict(reported.metadata) == {"size": 3.0, "note": "n"}


@pytest.mark.parametrize(
    ("given", "spec", "expected"),
    [
        ("no json", "{}", "--json_serialized_invocation_args cannot be read"),
        ("{}", "[1]", "--json_serialized_inputs_spec_args cannot be read"),
        (executor_input(), "{}", "has no type"),
    ],
)
def test_what_cannot_be_read_is_refused_in_plain_words(
    given: str, spec: str, expected: str
) -> None:
    with pytest.raises(NodeInputError, match=expected):
        read_node_input(given, spec, Staging())


@pytest.mark.parametrize(
    ("span", "asked"),
    [
        ("7", "7"),
        (" 20454 ", "20454"),
        ("5-7", "5-7"),
        ("1970-01-02", "1970-01-02"),
        ("20260101030000", "2026-01-01"),
        ("latest:3", "latest:3"),
        ("latest", "latest"),
        ("", "latest"),
    ],
)
def test_a_span_is_a_number_a_day_a_schedules_time_or_the_newest(span: str, asked: str) -> None:
    assert asked_span(span) == asked


@pytest.mark.parametrize(
    "span", ["next", "-1", "2026-02-30", "20260230030000", "[[ScheduledTime]]", "1.5"]
)
def test_any_other_span_is_refused(span: str) -> None:
    with pytest.raises(CorpusInputError, match="span cannot be read"):
        asked_span(span)


def write_pairs(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text('{"document": "a b", "summary": "a"}\n')


def resolved(corpus: str, spans: str = "") -> dict[str, Any]:
    component = CorpusExampleGen(corpus, spans, CorpusOptions(), 0.1)
    return corpus_executor.resolve(
        {
            key: component.exec_properties[key]
            for key in (
                *corpus_executor.RUN_TIME_KEYS,
                standard_component_specs.CUSTOM_CONFIG_KEY,
            )
        }
    )


def test_a_span_is_found_and_its_files_are_named(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        write_pairs(tmp_path / day / "pairs.jsonl")
    pattern = f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}/*.jsonl"

    assert resolved(pattern)["span"] == 20455
    older = resolved(pattern, "20454")

    assert older["span"] == 20454
    (split,) = json.loads(older["input_config"])["splits"]
    assert split["pattern"] == "2026-01-01/*.jsonl"
    assert older["input_fingerprint"].startswith("split:all,num_files:1,")


def test_several_spans_are_read_together(tmp_path: Path) -> None:
    for span in (1, 2, 13):
        write_pairs(tmp_path / f"span-{span}" / "pairs.jsonl")

    found = resolved(f"{tmp_path}/span-{{SPAN}}/*.jsonl", "1,13")

    assert found["span"] == 13
    (split,) = json.loads(found["input_config"])["splits"]
    assert split["pattern"] == "span-*/*.jsonl"
    only = json.loads(found["custom_config"])["custom_config"]["value"]["only"]
    names = (f"{tmp_path}/span-{span}/pairs.jsonl" for span in (1, 2, 13))
    assert [bool(re.fullmatch(only, name)) for name in names] == [True, False, True]
    one, other = found["input_fingerprint"].split(";")
    assert one.startswith("span:1,split:all,num_files:1,")
    assert other.startswith("span:13,split:all,num_files:1,")


@pytest.mark.parametrize("spans", ["20456", "5", "20454,5"])
def test_a_span_that_is_not_there_is_refused(tmp_path: Path, spans: str) -> None:
    write_pairs(tmp_path / "2026-01-01" / "pairs.jsonl")
    with pytest.raises(CorpusInputError, match=r"has no span (20456|5)"):
        resolved(f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}/*.jsonl", spans)


def test_a_span_of_a_corpus_without_spans_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "all" / "pairs.jsonl")
    with pytest.raises(CorpusInputError, match="has no span 3"):
        resolved(f"{tmp_path}/all", "3")
