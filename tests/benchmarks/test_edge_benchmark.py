"""The benchmark of LiteRT files compares a version's exports, and writes its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.edge import __main__ as benchmark
from tests.pipelines.edge.versions import plain_version
from tests.pipelines.transformed_corpus import pairs


@pytest.mark.long
def test_a_small_version(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    version = plain_version("t5", tmp_path_factory)
    corpus.mkdir()
    rows = [{name: text.decode() for name, text in row.items()} for row in pairs()[:12]]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (corpus / "eval.jsonl").write_text(lines, encoding="utf-8")
    options = [str(version), str(corpus), "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.edge", *options])

    assert benchmark.main() == 0

    measured = json.loads((tmp_path / "edge.json").read_text())
    assert (measured["documents"], measured["miscounted"]) == (12, 0)
    saved_model, float32, dynamic_range = measured["figures"]
    assert float32["equal"] + float32["in_doubt"] == saved_model["equal"] == 12
    assert 0 < dynamic_range["size"] < float32["size"]
    assert float32["rouge_l"] == pytest.approx(saved_model["rouge_l"], abs=0.2)
    for each in measured["figures"]:
        assert 0 < each["median_ms"] <= each["p90_ms"]
    page = (tmp_path / "edge.md").read_text()
    assert page.count(" of 12 |") == 3


def test_a_corpus_without_held_out_documents_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.edge", "1", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"has no document in eval\*\.jsonl"):
        benchmark.main()
