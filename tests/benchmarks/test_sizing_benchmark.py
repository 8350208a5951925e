"""The benchmark of what pods take measures real processes, and writes its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.sizing import __main__ as benchmark
from benchmarks.sizing.results import AtLoad
from tests.support.metered_model import export_metered_version


@pytest.mark.long
def test_a_small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = tmp_path / "models" / "7"
    export_metered_version(version)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    lines = [json.dumps({"document": f"one two {word}"}) for word in ("three", "four")]
    (corpus / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(benchmark, "BUILD", tmp_path / "build")
    options = [str(version), "--corpus", str(corpus), "--quick", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.sizing", *options])
    benchmark.main()
    measured = json.loads((tmp_path / "sizing.json").read_text())
    names = ["model_server", "gateway", "database"]
    assert [each["process"] for each in measured["rest"]] == names
    assert [each["process"] for each in measured["load"]] == names
    for rest in measured["rest"]:
        assert rest["memory_mib"] > 1
    for values in measured["load"]:
        load = AtLoad(**values)
        assert load.requests > 0 and load.input_tokens == 3 * load.requests
        assert load.cpu_s > 0 and load.memory_mib > 1
    page = (tmp_path / "sizing.md").read_text()
    assert "| gateway | 1 | " in page and "version 7" in page


def test_what_is_no_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.sizing", str(tmp_path / "latest")])
    with pytest.raises(SystemExit, match="named by a number"):
        benchmark.main()


def test_what_a_pod_is_to_request() -> None:
    load = AtLoad("gateway", 4, 200, 1000, 400, 10.0, 5.0, 90.0)
    assert (load.cpu_ms_per_request, load.cpu_ms_per_1k_output_tokens) == (25, 12_500)
    assert load.cores == 0.5
