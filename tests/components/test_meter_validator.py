from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx.types.standard_artifacts import Examples, Model

from components.artifacts import MeterBlessing
from components.artifacts import Tokenizer as TokenizerArtifact
from components.example_records import ExampleError
from components.meter.graph import MeteredModel
from components.meter_validator.executor import Executor
from components.meter_validator.static_checks import UnreadableModelError
from tests.components.fixture_artifacts import model_artifact_in, tokenizer_artifact_of
from tests.components.fixture_examples import ROWS, make_examples
from tests.components.fixture_faulty_models import (
    CrowdedBase,
    EosIsBilled,
    FailsOnEmpty,
    FaultyModel,
    InvalidSummary,
    JitBase,
    LimitsIgnored,
    NegativeLimits,
    OffByOne,
    PaddingIsBilled,
    PythonBase,
    XlaBase,
    metered,
    save_faulty_model,
)
from tokenizer.base import TokenizerError
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer
from tokenizer.training import train_sentencepiece

ALL_CHECKS = [
    "record",
    "signatures",
    "graph",
    "documents",
    "hard texts",
    "generated strings",
    "answers",
    "batches",
    "limits",
]

# Runs the executor; gives the blessing and its report.
Validate = Callable[..., tuple[MeterBlessing, dict[str, Any]]]


@pytest.fixture
def validate(
    metered_model: Model,
    tokenizer_artifact: TokenizerArtifact,
    examples: Examples,
    tmp_path: Path,
) -> Validate:
    """Run the executor; any input can be replaced. Returns the blessing and its report."""

    def run(
        model: Model = metered_model,
        tokenizer: TokenizerArtifact = tokenizer_artifact,
        examples: Examples = examples,
        strings: int = 300,
        xla: int = 0,
        decoded_ids: int = 20_000,
    ) -> tuple[MeterBlessing, dict[str, Any]]:
        blessing = MeterBlessing()
        blessing.uri = str(tmp_path / "blessing")
        Executor().Do(
            {"model": [model], "tokenizer": [tokenizer], "examples": [examples]},
            {"blessing": [blessing]},
            {
                "documents": 5,
                "generated_strings": strings,
                "seed": 1,
                "decoded_ids": decoded_ids,
                "xla": xla,
            },
        )
        return blessing, json.loads((Path(blessing.uri) / "report.json").read_text())

    return run


def failed(report: dict[str, Any]) -> dict[str, str]:
    """Names of the checks that did not pass, with all that they say."""
    return {
        check["name"]: check["not_run"] + json.dumps(check["mismatches"], ensure_ascii=False)
        for check in report["checks"]
        if not check["passed"]
    }


def test_a_right_model_is_blessed(
    validate: Validate,
    metered_model: Model,
    tokenizer: SentencePieceTokenizer,
) -> None:
    blessing, report = validate(strings=10_000)
    assert failed(report) == {}
    assert blessing.blessed == 1
    assert sorted(path.name for path in Path(blessing.uri).iterdir()) == [
        "BLESSED",
        "report.json",
        "report.md",
    ]
    assert [check["name"] for check in report["checks"]] == ALL_CHECKS
    cases = {check["name"]: check["cases"] for check in report["checks"]}
    assert cases["documents"] == 5
    assert cases["hard texts"] == 31 + 3
    assert cases["generated strings"] == 10_000
    # 39 texts in batches of 2, of 7 and of 32, the last filled up, and a batch of none.
    assert cases["batches"] == 40 + 42 + 64 + 1
    assert report["tokenizer_fingerprint"] == tokenizer.fingerprint
    assert report["model"] == metered_model.uri


def test_a_budget_of_ids_bounds_what_is_decoded_and_not_what_is_counted(
    validate: Validate,
) -> None:
    blessing, report = validate(decoded_ids=1)
    assert blessing.blessed == 1
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["documents"]["cases"] == 5
    assert checks["hard texts"]["cases"] == 31 + 3
    assert checks["generated strings"]["cases"] == 300
    # Two texts in one batch of two, and a batch of none.
    assert checks["batches"]["cases"] == 2 + 1
    assert checks["answers"]["proves"].endswith(": 2 of 39 texts")
    assert checks["batches"]["proves"].endswith(" in batches of 2: 2 of 39 texts")
    assert checks["limits"]["proves"].endswith(": 1 of 39 texts")
    assert report["decoded_ids_at_most"] == 1


def test_more_beams_leave_room_for_fewer_texts(
    validate: Validate, metered_model: Model, tmp_path: Path
) -> None:
    shutil.copytree(metered_model.uri, tmp_path / "copy")
    described = tmp_path / "copy" / "Format-Serving" / "assets.extra" / "base.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"num_beams": 4}))

    def of_texts(model: Model) -> str:
        _, report = validate(model=model, decoded_ids=2_300)
        assert failed(report) == {}
        (answers,) = [each for each in report["checks"] if each["name"] == "answers"]
        return str(answers["proves"].rsplit(": ", 1)[1])

    assert of_texts(metered_model) == "all 39 texts"
    assert of_texts(model_artifact_in(tmp_path / "copy")) == "8 of 39 texts"


def test_the_report_is_readable(
    validate: Validate,
) -> None:
    blessing, _ = validate()
    text = (Path(blessing.uri) / "report.md").read_text()
    assert text.startswith("# Meter validation: blessed\n")
    assert "| generated strings | input counts equal the library's: generated strings |" in text
    assert text.count("| passed |") == len(ALL_CHECKS)


@pytest.mark.parametrize(
    ("fault", "checks", "reason"),
    [
        (metered(OffByOne), {"hard texts", "answers"}, "combining marks"),
        (metered(PaddingIsBilled), {"hard texts", "batches"}, "in a batch of 7"),
        pytest.param(
            metered(MeteredModel, CrowdedBase),
            {"batches"},
            "in a batch of 32",
            marks=pytest.mark.long,
        ),
        pytest.param(
            metered(EosIsBilled), {"answers"}, "fewer than 9 ids", marks=pytest.mark.long
        ),
        (metered(LimitsIgnored), {"limits"}, "limit 1: output_tokens"),
        pytest.param(
            metered(NegativeLimits),
            {"limits"},
            "limit -1 among others: output_tokens",
            marks=pytest.mark.long,
        ),
        (metered(InvalidSummary), {"answers"}, "summary is not valid UTF-8"),
        (metered(FailsOnEmpty), {"hard texts", "answers"}, "no text"),
        pytest.param(
            metered(MeteredModel, XlaBase),
            {"graph"},
            "DynamicUpdateSlice",
            marks=pytest.mark.long,
        ),
        (metered(MeteredModel, JitBase), {"graph"}, "jit_compile"),
        (metered(MeteredModel, PythonBase), {"graph"}, "calls Python"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_model_is_refused_for_its_fault(
    validate: Validate,
    metered_model: Model,
    tokenizer: SentencePieceTokenizer,
    tmp_path: Path,
    fault: FaultyModel,
    checks: set[str],
    reason: str,
) -> None:
    model = save_faulty_model(fault(tokenizer), metered_model, tmp_path / "faulty")
    blessing, report = validate(model=model)
    assert blessing.blessed == 0
    assert (Path(blessing.uri) / "NOT_BLESSED").exists()
    assert not (Path(blessing.uri) / "BLESSED").exists()
    found = failed(report)
    assert checks <= set(found)
    assert reason in "".join(found.values())
    if checks in ({"graph"}, {"limits"}):
        assert set(found) == checks
    text = (Path(blessing.uri) / "report.md").read_text()
    assert text.startswith("# Meter validation: not blessed\n")


def test_a_model_for_xla_passes_where_the_server_will_compile(
    validate: Validate,
    metered_model: Model,
    tokenizer: SentencePieceTokenizer,
    tmp_path: Path,
) -> None:
    faulty = metered(MeteredModel, JitBase)
    model = save_faulty_model(faulty(tokenizer), metered_model, tmp_path / "compiled")
    blessing, report = validate(model=model, xla=1)
    assert failed(report) == {}
    assert blessing.blessed == 1


def test_another_tokenizer_is_refused(validate: Validate, tmp_path: Path) -> None:
    other = train_sentencepiece(["Quite another corpus than that of the examples."], 330)
    artifact = tokenizer_artifact_of(other, tmp_path / "other")
    blessing, report = validate(tokenizer=artifact)
    found = failed(report)
    assert blessing.blessed == 0
    assert {"record", "documents", "hard texts", "generated strings", "answers"} <= set(found)
    assert "tokenizer_fingerprint of metering.json" in found["record"]
    assert other.fingerprint in found["record"]


def test_a_record_that_is_not_true_is_refused(
    validate: Validate,
    metered_model: Model,
    tokenizer: SentencePieceTokenizer,
    tmp_path: Path,
) -> None:
    good = metered(MeteredModel)(tokenizer)
    model = save_faulty_model(
        good, metered_model, tmp_path / "faulty", max_input_tokens=25, task_prefix="sum: "
    )
    found = failed(validate(model=model)[1])
    assert "max_input_tokens of metering.json" in found["record"]
    assert "task_prefix of metering.json" in found["record"]
    assert "text of 25 ids" in found["hard texts"]


def test_another_tokenizer_carried_along_is_refused(
    validate: Validate,
    metered_model: Model,
    tmp_path: Path,
) -> None:
    shutil.copytree(metered_model.uri, tmp_path / "copy")
    other = train_sentencepiece(["Quite another corpus."], 330)
    tokenizer_artifact_of(
        other, tmp_path / "copy" / "Format-Serving" / "assets.extra" / "tokenizer"
    )
    found = failed(validate(model=model_artifact_in(tmp_path / "copy"))[1])
    assert set(found) == {"record"}
    assert "fingerprint of assets.extra/tokenizer" in found["record"]


def test_a_model_without_a_record_is_refused(
    validate: Validate,
    metered_model: Model,
    tmp_path: Path,
) -> None:
    shutil.copytree(metered_model.uri, tmp_path / "copy")
    (tmp_path / "copy" / "Format-Serving" / "assets.extra" / "metering.json").unlink()
    _, report = validate(model=model_artifact_in(tmp_path / "copy"))
    found = failed(report)
    assert "metering.json does not exist" in found["record"]
    assert found["answers"].startswith("the model does not state its limits")


def test_a_base_model_is_refused_for_its_signatures(
    validate: Validate,
    base_model: Model,
    metered_model: Model,
) -> None:
    found = failed(validate(model=base_model)[1])
    assert "metering.json does not exist" in found["record"]
    assert "input_length" in found["signatures"]


def test_an_op_of_another_library_is_refused(
    validate: Validate,
    metered_model: Model,
    tmp_path: Path,
) -> None:
    shutil.copytree(metered_model.uri, tmp_path / "copy")
    path = tmp_path / "copy" / "Format-Serving" / "saved_model.pb"
    content = path.read_bytes()
    # Of the same length, so that the file stays well-formed.
    assert b"UnicodeTranscode" in content
    path.write_bytes(content.replace(b"UnicodeTranscode", b"FrobnicateString"))
    _, report = validate(model=model_artifact_in(tmp_path / "copy"))
    found = failed(report)
    assert "not an op of TensorFlow or TensorFlow Text" in found["graph"]
    assert found["answers"].startswith("the model cannot be loaded: see 'graph'")


def test_mismatches_are_bounded_and_counted(
    validate: Validate,
    metered_model: Model,
    tokenizer: SentencePieceTokenizer,
    tmp_path: Path,
) -> None:
    model = save_faulty_model(
        metered(InvalidSummary)(tokenizer), metered_model, tmp_path / "faulty"
    )
    blessing, report = validate(model=model)
    (answers,) = [check for check in report["checks"] if check["name"] == "answers"]
    assert len(answers["mismatches"]) == 20
    assert answers["mismatch_count"] == 39
    text = (Path(blessing.uri) / "report.md").read_text()
    assert "The first 20 of 39 mismatches:" in text


def test_no_generated_strings_leave_that_check_out(
    validate: Validate,
) -> None:
    blessing, report = validate(strings=0)
    assert blessing.blessed == 1
    names = [check["name"] for check in report["checks"]]
    assert names == [name for name in ALL_CHECKS if name != "generated strings"]


def test_without_documents_nothing_is_proved(validate: Validate, tmp_path: Path) -> None:
    examples = make_examples(tmp_path / "examples", {"eval": []})
    blessing, report = validate(examples=examples)
    assert blessing.blessed == 0
    assert failed(report)["documents"].startswith("there was nothing to check")


def test_what_cannot_be_read_is_an_error(
    validate: Validate,
    tokenizer_artifact: TokenizerArtifact,
    tmp_path: Path,
) -> None:
    with pytest.raises(UnreadableModelError, match=r"saved_model\.pb cannot be read"):
        validate(model=model_artifact_in(tmp_path / "nothing"))
    (tmp_path / "no" / "Format-Serving").mkdir(parents=True)
    (tmp_path / "no" / "Format-Serving" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(UnreadableModelError, match="is not a SavedModel"):
        validate(model=model_artifact_in(tmp_path / "no"))
    with pytest.raises(ExampleError, match="no split 'eval'"):
        validate(examples=make_examples(tmp_path / "examples", {"train": ROWS}))
    shutil.copytree(tokenizer_artifact.uri, tmp_path / "tokenizer")
    with (tmp_path / "tokenizer" / "tokenizer.model").open("ab") as file:
        file.write(b"\0")
    changed = type(tokenizer_artifact)()
    changed.uri = str(tmp_path / "tokenizer")
    with pytest.raises(TokenizerError, match="were changed after"):
        validate(tokenizer=changed)
