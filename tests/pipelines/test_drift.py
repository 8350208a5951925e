"""Texts that have changed since the champion was trained are found before training again."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from components.model_registry import open_registry
from components.model_registry.port import RegisteredVersion
from pipelines.cli.continuous import Plan, RunRequest, plan
from pipelines.config import PipelineConfig, parse_config
from pipelines.drift.comparison import Drift, Measurement
from pipelines.layout import OutputLayout
from tests.support.empty_registry import lay_registry
from tokenizer.loading import save_tokenizer
from tokenizer.training import train_sentencepiece

PLAIN = ("table", "record", "file", "socket", "opens", "closes", "the", "caller")
OTHER = ("naïve", "привет", "queue", "zebra", "quixotic", "jazz", "αβγ", "caller")
FROM_SCRATCH = parse_config({"pipeline": {"name": "from-scratch"}})


def write_span(
    folder: Path, span: int, words: tuple[str, ...], lengths: tuple[int, int]
) -> None:
    draw = random.Random(span)
    rows = []
    for _ in range(400):
        text = " ".join(draw.choices(words, k=draw.randint(*lengths)))
        rows.append(json.dumps({"document": text, "summary": " ".join(text.split()[:3])}))
    (folder / f"span-{span}.jsonl").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spans 1 and 2 are alike, 3 has longer texts, 4 another language; the champion has 1."""
    folder = tmp_path_factory.mktemp("drift")
    write_span(folder, 1, PLAIN, (5, 20))
    write_span(folder, 2, PLAIN, (5, 20))
    write_span(folder, 3, PLAIN, (20, 60))
    write_span(folder, 4, OTHER, (5, 20))
    tokenizer = train_sentencepiece([" ".join(PLAIN)] * 50, 300)
    save_tokenizer(tokenizer, folder / "champion" / "assets.extra" / "tokenizer")
    (folder / "champion" / "saved_model.pb").touch()
    registry = open_registry(lay_registry(OutputLayout(folder, "daily").registry_file))
    registry.register("summarizer", str(folder / "champion"), {}, {"spans": "1"})
    registry.set_aliases("summarizer", {"champion": 1})
    return folder


def planned(folder: Path, span: str, **drift: object) -> tuple[Plan, str]:
    """The plan, and what was said."""

    def from_scratch(champion: RegisteredVersion) -> PipelineConfig:
        assert champion.number == 1
        return FROM_SCRATCH

    said = io.StringIO()
    request = RunRequest(
        parse_config({"drift": drift}),
        from_scratch,
        f"{folder}/span-{{SPAN}}.jsonl",
        span,
        OutputLayout(folder, "daily"),
    )
    made = plan(request, Console(file=said, width=500))
    return made, said.getvalue()


def test_texts_alike_are_no_drift(folder: Path) -> None:
    made, said = planned(folder, "2", action="stop")
    assert (made.spans, made.exit_code) == ((2,), None)
    assert said.startswith(
        "400 documents of span 2 were compared with 400 of the champion's, span 1: 0 of 5 have "
        "drifted."
    )
    saved = json.loads((folder / "reports" / "daily-drift.json").read_text())
    assert saved["drifted"] == []
    assert [found["name"] for found in saved["measurements"]] == [
        "document_tokens",
        "summary_tokens",
        "tokens_per_byte",
        "token",
        "unknown_share",
    ]


def test_what_the_champion_knows_dilutes_nothing(folder: Path) -> None:
    _, alone = planned(folder, "4")
    _, together = planned(folder, "latest:4")
    assert "400 documents of span 2, 3, 4 were" not in alone
    assert "1200 documents of span 2, 3, 4 were compared with 400 of" in together


def test_longer_texts_are(folder: Path) -> None:
    made, said = planned(folder, "3", action="report")
    assert made.exit_code is None
    assert "drift: document_tokens has moved by" in said
    assert "drift: token has" not in said


def test_another_language_stops_the_run_or_trains_from_scratch_as_is_set(folder: Path) -> None:
    made, said = planned(folder, "4", action="stop")
    assert made.exit_code == 3
    assert "drift: token has moved by" in said
    assert "(drift.max_token_divergence)" in said
    report = folder / "reports" / "daily.html"
    assert f"report: {report}" in said
    text = " ".join(report.read_text().split())
    assert "Stopped because of drift: nothing was trained on span 4. " in text
    assert "token has moved by" in text
    made, said = planned(folder, "4", action="retrain")
    assert made == Plan(FROM_SCRATCH, (4,))
    assert "training from scratch, with the champion's tokenizer" in said
    made, said = planned(folder, "4", action="off")
    assert (made.exit_code, said) == (None, "")


def test_too_few_documents_say_nothing(folder: Path) -> None:
    made, said = planned(folder, "4", action="stop", min_documents=401)
    assert made.exit_code is None
    assert "too few to tell (drift.min_documents = 401)" in said


def test_a_span_of_the_champion_that_is_gone_stops_a_run_that_drift_would_stop(
    folder: Path, tmp_path: Path
) -> None:
    for path in ("span-2.jsonl", "registry.sqlite"):
        (tmp_path / path).write_bytes((folder / path).read_bytes())
    made, said = planned(tmp_path, "2", action="stop")
    assert made.exit_code == 3
    assert "the champion's spans cannot be compared. The corpus has no span 1" in said
    made, _ = planned(tmp_path, "2", action="report")
    assert made.exit_code is None


def test_more_unknown_tokens_are_drift() -> None:
    drift = Drift(
        champion_spans=(1,),
        spans=(2,),
        champion_documents=500,
        documents=500,
        min_documents=200,
        measurements=(
            Measurement("unknown_share", 0.02, 0.005, 0.01, "drift.max_unknown_gain"),
        ),
    )
    assert [str(found) for found in drift.findings] == [
        "unknown_share has moved by 0.0200; at most 0.01 is allowed (drift.max_unknown_gain), "
        "and chance explains at most 0.0050."
    ]
    fewer = replace(drift, measurements=(replace(drift.measurements[0], value=-0.5),))
    assert fewer.findings == ()
    by_chance = replace(drift, measurements=(replace(drift.measurements[0], by_chance=0.03),))
    assert by_chance.findings == ()
