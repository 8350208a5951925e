from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tokenizer.contract import BaseModelSpec, ContractError, MeteredSummary, MeteringRecord

ROW = {
    "summary": "Counts bills.",
    "input_tokens": 7,
    "output_tokens": 3,
    "total_tokens": 10,
    "truncated_tokens": 0,
    "finish_reason": "stop",
}
BASE = BaseModelSpec(
    model_family="t5",
    tokenizer_kind="sentencepiece",
    tokenizer_fingerprint="ab" * 32,
    vocabulary_size=324,
    pad_id=0,
    eos_id=1,
    max_input_tokens=64,
    max_output_tokens=20,
    task_prefix="",
)
RECORD = MeteringRecord(
    contract_version=1,
    model_family="t5",
    tokenizer_kind="sentencepiece",
    tokenizer_fingerprint="ab" * 32,
    vocabulary_size=324,
    max_input_tokens=64,
    max_output_tokens=20,
    task_prefix="",
    pipeline_run="2026-01-01",
    spans=(1, 2),
    code_version="0123456789abcdef",
)


@pytest.mark.parametrize(("record", "file"), [(BASE, "base.json"), (RECORD, "metering.json")])
def test_what_an_older_release_wrote_has_its_defaults(
    record: BaseModelSpec | MeteringRecord, file: str, tmp_path: Path
) -> None:
    compiled = replace(record, xla_rows=(1, 4), xla_widths=(64, 65))
    compiled.save(tmp_path)
    assert type(record).load(tmp_path) == compiled
    path = tmp_path / "assets.extra" / file
    values = json.loads(path.read_text())
    del values["xla_rows"], values["xla_widths"]
    path.write_text(json.dumps(values))
    assert type(record).load(tmp_path) == record


def test_a_row_of_an_answer_becomes_a_checked_value() -> None:
    row = MeteredSummary.from_row({**ROW, "model": "ignored"})
    assert (row.input_tokens, row.output_tokens, row.finish_reason) == (7, 3, "stop")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_tokens": -1}, "output_tokens must not be negative. Received: -1"),
        ({"total_tokens": 11}, r"input_tokens \+ output_tokens. Received: 11 for 7 \+ 3"),
        ({"finish_reason": "eos"}, "must be 'stop' or 'length'. Received: 'eos'"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(
    change: dict[str, int] | dict[str, str], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        MeteredSummary.from_row({**ROW, **change})


def test_a_row_without_counts_is_refused() -> None:
    with pytest.raises(
        ContractError, match=r"lacks input_tokens.*Check that the served model is metered"
    ):
        MeteredSummary.from_row({"summary": "x"})


@pytest.mark.parametrize("value", [BASE, RECORD])
def test_what_is_saved_is_loaded(value: BaseModelSpec | MeteringRecord, tmp_path: Path) -> None:
    value.save(tmp_path)
    assert type(value).load(tmp_path) == value


@pytest.mark.parametrize("kind", [BaseModelSpec, MeteringRecord])
def test_a_model_that_says_nothing_of_itself_is_refused(
    kind: type[BaseModelSpec] | type[MeteringRecord], tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match="does not exist"):
        kind.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "lacks an object"), ("{}", "lacks m")],
)
def test_a_broken_file_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra/base.json").write_text(content)
    with pytest.raises(ContractError, match=message):
        BaseModelSpec.load(tmp_path)


def test_another_version_of_the_contract_is_refused(tmp_path: Path) -> None:
    RECORD.save(tmp_path)
    path = tmp_path / "assets.extra/metering.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "contract_version": 2}))
    with pytest.raises(ContractError, match=r"contract 2. Expected: 1"):
        MeteringRecord.load(tmp_path)


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import tokenizer.contract;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - {'tokenizer'};"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "[]\n"
