"""ServingValidator against real servers: one model that passes, and every way to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tfx.components.util.model_utils import is_infra_validated
from tfx.types import channel_utils, standard_artifacts

from components.serving_validator.component import ServingValidator
from components.serving_validator.executor import Executor
from components.serving_validator.reference import InProcessModel, columns_of, differences
from components.serving_validator.validation import validate_model
from serving.engines import EngineError, choose_engine
from serving.protocol.exchange import Columns
from tests.support.metered_model import export_metered_model

TIMEOUT_S = 120
Export = Callable[..., Path]


@pytest.fixture
def model(tmp_path: Path) -> Export:
    """Writes a variant of the small metered model as a Model artifact; gives its uri."""

    def export(**variant: Any) -> Path:
        export_metered_model(tmp_path / "model" / "Format-Serving", **variant)
        return tmp_path / "model"

    return export


def run_executor(
    model_uri: Path,
    blessing_uri: Path,
    engine: str = "local",
    binary: str = "",
    xla: bool = False,
) -> tuple[standard_artifacts.InfraBlessing, dict[str, Any]]:
    model = standard_artifacts.Model()
    model.uri = str(model_uri)
    blessing = standard_artifacts.InfraBlessing()
    blessing.uri = str(blessing_uri)
    Executor().Do(
        {"model": [model]},
        {"blessing": [blessing]},
        {
            "model_name": "summarizer",
            "engine": engine,
            "binary": binary,
            "timeout_s": TIMEOUT_S,
            "xla": int(xla),
        },
    )
    report = json.loads((blessing_uri / "report.json").read_text(encoding="utf-8"))
    names = {path.name for path in blessing_uri.iterdir()} - {"report.json"}
    assert names == {"INFRA_BLESSED" if report["blessed"] else "INFRA_NOT_BLESSED"}
    return blessing, report


def test_a_good_model_is_blessed(model: Export, tmp_path: Path) -> None:
    blessing, report = run_executor(model(), tmp_path / "blessing")
    assert is_infra_validated(blessing), report
    assert blessing.get_string_custom_property("engine") == "local"
    assert (report["requests"], report["rows"], report["mismatches"]) == (3, 9, [])
    assert report["engine"] == "local"
    assert report["startup_s"] > 0


@pytest.mark.long  # two servers, and every shape is compiled
def test_a_model_for_xla_needs_a_server_that_is_started_for_it(
    model: Export, tmp_path: Path
) -> None:
    uri = model(xla=True)
    blessing, report = run_executor(uri, tmp_path / "stock")
    assert not is_infra_validated(blessing)
    assert "XLA compilation disabled" in report["reason"] + report["server_log"]
    blessing, report = run_executor(uri, tmp_path / "compiling", xla=True)
    assert is_infra_validated(blessing), report


@pytest.mark.long
def test_a_missing_signature(model: Export, tmp_path: Path) -> None:
    uri = model(without="count_tokens", warm_up=False)
    blessing, report = run_executor(uri, tmp_path / "blessing")
    assert not is_infra_validated(blessing)
    assert report["reason"] == (
        "The model does not follow the counting contract: it has no signature count_tokens."
    )


def test_answers_that_differ(model: Export, tmp_path: Path) -> None:
    blessing, report = run_executor(model(random=True), tmp_path / "blessing")
    assert not is_infra_validated(blessing)
    assert "outputs of the server differ from the model's own" in report["reason"]
    assert report["mismatches_total"] == 12  # 2 requests with a summary, 3 rows, 2 protocols
    first = report["mismatches"][0]
    assert {key: first[key] for key in ("request", "protocol", "output", "row")} == {
        "request": 0,
        "protocol": "gRPC",
        "output": "summary",
        "row": 0,
    }
    assert first["expected"].startswith("ONE TWO THREE ")
    assert first["received"].startswith("ONE TWO THREE ")
    assert {each["protocol"] for each in report["mismatches"]} == {"gRPC", "REST"}


def test_an_op_that_the_server_does_not_know(model: Export, tmp_path: Path) -> None:
    uri = model()
    graph = uri / "Format-Serving" / "saved_model.pb"
    content = graph.read_bytes()
    assert b"StringUpper" in content
    graph.write_bytes(content.replace(b"StringUpper", b"StringOuter"))
    blessing, report = run_executor(uri, tmp_path / "blessing")
    assert not is_infra_validated(blessing)
    assert "ended with status 1 before it was ready" in report["reason"]
    assert "Op type not registered 'StringOuter'" in report["server_log"]


def test_no_saved_model_and_no_warm_up(model: Export, tmp_path: Path) -> None:
    (tmp_path / "empty" / "Format-Serving").mkdir(parents=True)
    blessing, report = run_executor(tmp_path / "empty", tmp_path / "blessing")
    assert not is_infra_validated(blessing)
    assert "has no saved_model.pb" in report["reason"]


@pytest.mark.parametrize(
    ("script", "timeout_s", "reason"),
    [
        ("echo no such device; exit 3", 30, "ended with status 3 before it was ready"),
        ("echo loading; exec sleep 60", 1, "was not ready after 1 s"),
    ],
)
def test_a_server_that_dies_or_is_never_ready(
    model: Export, tmp_path: Path, script: str, timeout_s: float, reason: str
) -> None:
    program = tmp_path / "tensorflow_model_server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    engine = choose_engine("binary", program)
    path = model(warm_up=False) / "Format-Serving"
    report = validate_model(path, "summarizer", engine, timeout_s)
    assert not report.blessed
    assert reason in report.reason
    assert report.server_log == script.split(";")[0].removeprefix("echo ")
    assert report.engine == "binary"
    assert str(program) in report.engine_description


def test_a_server_that_is_not_installed_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="was not found"):
        run_executor(tmp_path, tmp_path / "blessing", "binary", str(tmp_path / "nothing"))


def test_differences_are_told_row_by_row() -> None:
    expected: Columns = {"summary": ["a", "b"], "n": [1, 2], "x": [0]}
    assert differences(expected, dict(expected)) == []
    received: Columns = {"summary": ["b", "b"], "n": [1], "y": [0]}
    assert differences(expected, received) == [
        ("n", None, "2 rows", "1 rows"),
        ("summary", 0, "a", "b"),
        ("x", None, "present", "missing"),
        ("y", None, "missing", "present"),
    ]


def test_texts_are_compared_as_clients_send_and_get_them(model: Export) -> None:
    """Texts as text, other bytes as bytes; a summary that is no text equals no server's."""
    request = predict_pb2.PredictRequest()
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(["é".encode(), b"\xff"]))
    request.inputs["max_output_tokens"].CopyFrom(tf.make_tensor_proto([0, 2], tf.int32))
    inputs = columns_of(request)
    assert inputs == {"text": ["é", b"\xff"], "max_output_tokens": [0, 2]}
    reference = InProcessModel(model() / "Format-Serving")
    outputs = reference.call("summarize", inputs)
    assert outputs["summary"][0] == "É"
    assert outputs["input_tokens"] == [1, 1]
    assert all(isinstance(each, str) for each in outputs["summary"])


def test_the_component_is_wired() -> None:
    model = channel_utils.as_channel([standard_artifacts.Model()])
    component = ServingValidator(model=model, engine="local", timeout_s=7)
    assert component.outputs["blessing"].type is standard_artifacts.InfraBlessing
    assert component.exec_properties == {
        "model_name": "summarizer",
        "engine": "local",
        "binary": "",
        "image": "tensorflow/serving",
        "timeout_s": 7,
        "xla": 0,
    }
