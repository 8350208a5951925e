"""The gate's decisions, on a corpus with a span for each day."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import GateReport
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.model_registry import open_registry
from pipelines.drift.config import DriftConfig
from pipelines.kubeflow.span_gate.component import SpanGate
from pipelines.kubeflow.span_gate.executor import DriftStopError, Executor
from tests.support.empty_registry import lay_registry
from tokenizer.loading import save_tokenizer
from tokenizer.training import train_sentencepiece

PLAIN = ("table", "record", "file", "socket", "opens", "closes", "the", "caller")
OTHER = ("naïve", "привет", "queue", "zebra", "quixotic", "jazz", "αβγ", "caller")
# Days since 1970-01-01.
FIRST, ALIKE, FOREIGN = 20484, 20485, 20486
DAYS = {FIRST: "2026-01-31", ALIKE: "2026-02-01", FOREIGN: "2026-02-02"}


def write_day(folder: Path, number: int, words: tuple[str, ...]) -> None:
    draw = random.Random(number)
    texts = (" ".join(draw.choices(words, k=draw.randint(5, 20))) for _ in range(400))
    rows = [json.dumps({"document": text, "summary": text[:9]}) for text in texts]
    (folder / f"{DAYS[number]}.jsonl").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, of which the last is in other words; the champion knows the first."""
    volume = tmp_path_factory.mktemp("volume")
    write_day(volume, FIRST, PLAIN)
    write_day(volume, ALIKE, PLAIN)
    write_day(volume, FOREIGN, OTHER)
    tokenizer = train_sentencepiece([" ".join(PLAIN)] * 50, 300)
    save_tokenizer(tokenizer, volume / "champion" / "assets.extra" / "tokenizer")
    (volume / "champion" / "saved_model.pb").touch()
    return volume


def gate(
    volume: Path,
    folder: Path,
    span: str,
    *,
    champion: str | None = str(FIRST),
    corpus: str = "{YYYY}-{MM}-{DD}.jsonl",
    **drift: Any,
) -> GateReport:
    """Run the node; its report is left, also where it fails."""
    registry = f"sqlite:///{folder}/registry.sqlite"
    if champion is not None:
        opened = open_registry(lay_registry(folder / "registry.sqlite"))
        opened.register("summarizer", str(volume / "champion"), {}, {"spans": champion})
        opened.set_aliases("summarizer", {"champion": 1})
    component = SpanGate(
        corpus=f"{volume}/{corpus}",
        span=span,
        registry_uri=registry,
        model_name="summarizer",
        options=CorpusOptions(),
        drift=DriftConfig(**drift),
        reports_dir=str(folder / "kept"),
    )
    report = GateReport()
    report.uri = str(folder / "report")
    Executor().Do({}, {"report": [report]}, component.exec_properties)
    return report


def decided(report: GateReport) -> tuple[str, str, str]:
    return report.todo, report.spans, report.start_from


def test_without_a_champion_the_newest_day_is_trained_on_from_random_weights(
    volume: Path, tmp_path: Path
) -> None:
    report = gate(volume, tmp_path, "", champion=None)
    assert decided(report) == ("train", str(FOREIGN), "")
    decision = json.loads((tmp_path / "report" / "decision.json").read_text())
    assert decision["champion"] is None
    assert decision["reason"] == "Training on span 2026-02-02: there is no champion yet."
    assert not (tmp_path / "report" / "drift.json").exists()


def test_a_new_day_alike_is_trained_on_from_the_champion(volume: Path, tmp_path: Path) -> None:
    report = gate(volume, tmp_path, "20260201030000", action="stop")
    assert decided(report) == ("train", str(ALIKE), "champion")
    drift = json.loads((tmp_path / "report" / "drift.json").read_text())
    assert (drift["champion_spans"], drift["spans"]) == ([FIRST], [ALIKE])
    assert drift["drifted"] == []


def test_days_that_the_champion_knows_are_nothing_to_do_unless_they_are_named(
    volume: Path, tmp_path: Path
) -> None:
    report = gate(volume, tmp_path, "latest:2", champion=f"{ALIKE} {FOREIGN}")
    assert decided(report) == ("nothing", f"{ALIKE},{FOREIGN}", "")
    decision = json.loads((tmp_path / "kept" / "decision.json").read_text())
    assert decision["reason"] == (
        "The newest span is 2026-02-02, and the champion (version 1) was trained on span "
        "2026-02-02."
    )
    named = gate(volume, tmp_path, "2026-02-02")
    assert decided(named) == ("train", str(FOREIGN), "champion")


def test_drift_is_reported_or_trains_from_scratch_or_stops(
    volume: Path, tmp_path: Path
) -> None:
    said = {}
    for action, start in (("report", "champion"), ("retrain", ""), ("off", "champion")):
        folder = tmp_path / action
        folder.mkdir()
        report = gate(volume, folder, "latest", action=action)
        assert decided(report) == ("train", str(FOREIGN), start)
        said[action] = json.loads((folder / "kept" / "decision.json").read_text())
    assert said["report"]["findings"] == said["retrain"]["findings"] != []
    assert said["off"]["findings"] == []
    assert said["retrain"]["todo"] == "retrain"
    assert "from scratch, with the champion's tokenizer" in said["retrain"]["reason"]

    with pytest.raises(DriftStopError, match=r"Stopped because of drift.*token has moved by"):
        gate(volume, tmp_path, "latest", action="stop")
    kept = json.loads((tmp_path / "kept" / "decision.json").read_text())
    assert kept["todo"] == "stop"
    assert "token" in json.loads((tmp_path / "kept" / "drift.json").read_text())["drifted"]


def test_a_day_of_the_champions_that_is_gone_counts_as_drift(
    volume: Path, tmp_path: Path
) -> None:
    with pytest.raises(DriftStopError, match=rf"cannot be compared.*no span {FIRST - 1}"):
        gate(volume, tmp_path, "latest", champion=str(FIRST - 1), action="stop")


@pytest.mark.parametrize("champion", [None, str(FIRST), ""])
def test_a_corpus_without_spans_is_trained_on_as_it_is(
    volume: Path, tmp_path: Path, champion: str | None
) -> None:
    report = gate(volume, tmp_path, "", corpus="*.jsonl", champion=champion, action="stop")
    assert decided(report) == ("train", "", "" if champion is None else "champion")


@pytest.mark.parametrize(
    ("corpus", "span", "expected"),
    [
        ("*.jsonl", "3", r"has no span 3. Expected: \{SPAN\}"),
        (
            "{YYYY}-{MM}-{DD}.jsonl",
            "2026-02-03",
            "no span 2026-02-03. Available spans: 2026-01-31, ",
        ),
        ("{YYYY}-{MM}-{DD}.jsonl", "tomorrow", "span cannot be read"),
    ],
)
def test_a_span_that_is_not_there_is_an_error(
    volume: Path, tmp_path: Path, corpus: str, span: str, expected: str
) -> None:
    with pytest.raises(CorpusInputError, match=expected):
        gate(volume, tmp_path, span, corpus=corpus)
