"""Continuous training on the emulated cluster, from a corpus to a served model and back.

One story for all tests: a span that makes the first champion, nothing new, a span that makes a
better one, a span that drift stops, and the same one stopped by validation.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from components.model_registry import open_registry
from components.model_registry.port import CHAMPION, PREVIOUS, RegisteredVersion
from tests.pipelines.kubeflow.kubeflow_process import fresh_for
from tests.pipelines.kubeflow.kubeflow_story import (
    CONFIGS,
    Story,
    assert_served_and_counted,
    damaged,
    metering_of,
    pairs,
    write_rows,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200), pytest.mark.in_order]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All runs, and after each of them nothing of the pods."""
    # One node of TFX's own, one that trains, one with neither TFX's work nor TensorFlow's.
    one_of_each = fresh_for(
        "schema_gen.executor.Executor", "TrainerExecutor", "promoter.executor.Executor"
    )
    story = Story(
        tmp_path_factory.mktemp("volume"),
        tmp_path_factory.mktemp("cluster"),
        CONFIGS / "tiny.toml",
        one_of_each,
    )
    rows = pairs()
    write_rows(story.volume / "test" / "pairs.jsonl", rows[::8])
    rows = [row for place, row in enumerate(rows) if place % 8]
    story.arrive(1, rows[::2])
    story.run("first", "", "training.steps=40")
    story.run("again", "latest:3", "training.steps=40")
    story.arrive(2, rows[1::2])
    # Another vocabulary is asked for, so that one trained anew would be another one.
    story.run("second", "latest:2", "training.steps=120", "tokenizer.vocab_size=420")
    story.arrive(3, [damaged(row) for row in rows])
    story.run("third", "latest", "training.steps=120")
    return story


@pytest.fixture(scope="module")
def version(story: Story) -> Path:
    """The first that was served."""
    (found,) = story.versions["first"]
    return found


def registered(story: Story, alias: str) -> RegisteredVersion:
    registry = open_registry(f"sqlite:///{story.volume}/registry.sqlite")
    found = registry.by_alias("summarizer", alias)
    assert found is not None
    return found


def test_the_first_span_makes_the_champion(story: Story, version: Path) -> None:
    assert story.gate_says("first") == {"todo": "train", "spans": "1", "start_from": ""}
    examples = story.runs["first"].store.output("CorpusExampleGen", "examples").metadata
    assert examples["custom:span"] == 1
    assert examples["input_fingerprint"].startswith("split:all,num_files:1,")
    assert metering_of(version)["spans"] == [1]
    for looked_up in ("ChampionLookup", "StartingPoint"):
        assert story.runs["first"].store.output(looked_up, "model").metadata["absent"] == 1


def test_the_pushed_model_is_served_and_counts_right(version: Path) -> None:
    tokenizer = version / "assets.extra" / "tokenizer" / "tokenizer.model"
    assert_served_and_counted(version, SentencePieceProcessor(model_file=str(tokenizer)).encode)


def test_with_nothing_new_the_run_ends_well_at_the_gate(story: Story, tmp_path: Path) -> None:
    run = story.runs["again"]
    assert story.gate_says("again") == {"todo": "nothing", "spans": "1", "start_from": ""}
    assert set(run.outputs) == {"SpanGate"}
    assert run.skipped == ["Training"]
    report = story.downloaded("again", "SpanGate", "report", tmp_path)
    decision = json.loads((report / "decision.json").read_text())
    assert decision["todo"] == "nothing"
    assert decision["reason"] == (
        "The newest span is 1, and the champion (version 1) was trained on span 1."
    )
    assert story.versions["again"] == story.versions["first"]


def test_a_better_model_takes_the_champions_place_with_its_tokenizer(story: Story) -> None:
    run = story.runs["second"]
    assert story.gate_says("second") == {
        "todo": "train",
        "spans": "1,2",
        "start_from": "champion",
    }
    # Trained on from the first one, and held against it
    start, champion = (
        run.store.output(name, "model") for name in ("StartingPoint", "ChampionLookup")
    )
    for looked_up in (start, champion):
        assert looked_up.metadata["absent"] == 0
        assert looked_up.metadata["registered_version"] == 1
    blessing = run.store.output("Evaluator", "blessing").metadata
    assert blessing["baseline_model_id"] == champion.name
    promotion = run.store.output("Promoter", "blessing").metadata
    assert (promotion["outcome"], promotion["version"]) == ("champion", 2)
    # Of both spans, in the first one's tokens
    old, new = story.versions["second"]
    assert metering_of(new)["spans"] == [1, 2]
    assert (
        metering_of(new)["tokenizer_fingerprint"] == metering_of(old)["tokenizer_fingerprint"]
    )
    examples = run.store.output("CorpusExampleGen", "examples").metadata
    assert (examples["custom:span"], examples["spans"]) == (2, "1,2")
    # Evaluated on the test set, and beside it on the new spans
    assert "SpanEvaluator" in run.outputs
    assert run.store.output("TestExampleGen", "examples").metadata["split_names"] == '["eval"]'


def test_training_went_on_where_the_champion_was(story: Story, tmp_path: Path) -> None:
    histories = {}
    for name in ("first", "second"):
        folder = story.downloaded(name, "Trainer", "model_run", tmp_path / name)
        (file,) = folder.rglob("history.jsonl")
        histories[name] = [json.loads(line) for line in file.read_text().splitlines()]
    assert histories["second"][0]["step"] == 20
    assert histories["second"][0]["val_loss"] < histories["first"][0]["val_loss"]


def test_a_damaged_span_is_stopped_by_validation_and_the_champion_is_served(
    story: Story, tmp_path: Path
) -> None:
    run = story.runs["third"]
    assert run.store.output("Evaluator", "blessing").metadata["blessed"] == 0
    assert run.store.output("Promoter", "blessing").metadata["outcome"] == "not_blessed"
    assert story.versions["third"] == story.versions["second"]
    report = story.downloaded("third", "Promoter", "blessing", tmp_path)
    reason = json.loads((report / "report.json").read_text())["reason"]
    assert "rouge_l_f1 is " in reason
    assert "below the baseline model's; at most 0.02 below is allowed." in reason


def test_a_span_that_drift_stops_fails_the_run_with_the_reason(story: Story) -> None:
    said = story.failed("latest", "drift.action=stop", "drift.min_documents=50")
    assert said.startswith("SpanGate failed:")
    assert "Stopped because of drift: nothing was trained on span 3." in said
    assert "summary_tokens has moved by" in said
    kept = story.volume / "reports" / "tiny-gate"
    assert json.loads((kept / "decision.json").read_text())["todo"] == "stop"
    assert "summary_tokens" in json.loads((kept / "drift.json").read_text())["drifted"]


def test_the_registered_champion_outlives_the_pods_and_its_origin_is_one_command(
    story: Story,
) -> None:
    champion, previous = (registered(story, alias) for alias in (CHAMPION, PREVIOUS))
    assert (champion.number, previous.number) == (2, 1)
    kept, new = Path(champion.uri), story.versions["second"][-1]
    assert kept.is_relative_to(story.volume / "models" / "summarizer")
    assert (kept / "saved_model.pb").read_bytes() == (new / "saved_model.pb").read_bytes()
    assert champion.tags["pipeline_run"] == story.runs["second"].run_id
    assert new.name in champion.tags["pushed_versions"]
    lineage = story.registry("lineage", new.name)
    for fact in (
        f"run: {story.runs['second'].run_id}",
        "spans: 1 2",
        f"code: {metering_of(new)['code_version']}",
        f"tokenizer: {metering_of(new)['tokenizer_fingerprint']}",
    ):
        assert fact in " ".join(lineage.split())


def test_one_command_puts_the_first_one_back(story: Story) -> None:
    old, new = story.versions["third"]
    assert "champion: 2 -> 1" in story.registry("rollback")
    newest = story.served()[-1]
    assert newest not in (old, new)
    assert metering_of(newest) == metering_of(old)
    assert registered(story, CHAMPION).number == 1
