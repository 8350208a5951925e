"""A whole run on the emulated cluster: BART and byte-level BPE, from a corpus to served counts.

What spans make of later runs is told by `test_kubeflow_spans.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

from tests.pipelines.kubeflow.kubeflow_story import (
    CONFIGS,
    IMAGE,
    Story,
    assert_served_and_counted,
    metering_of,
    pairs,
    write_rows,
)

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One run, and after it nothing of the pods."""
    story = Story(
        tmp_path_factory.mktemp("volume"),
        tmp_path_factory.mktemp("cluster"),
        CONFIGS / "tiny-bart.toml",
    )
    rows = pairs()
    write_rows(story.volume / "test" / "pairs.jsonl", rows[::8])
    story.arrive(1, [row for place, row in enumerate(rows) if place % 8])
    story.run("first", "", "training.steps=20")
    return story


@pytest.fixture(scope="module")
def version(story: Story) -> Path:
    """What was served."""
    (found,) = story.versions["first"]
    return found


def test_every_node_ran_in_the_image_of_the_run(story: Story) -> None:
    assert story.runs["first"].images == {IMAGE}
    assert "Pusher" in story.runs["first"].outputs


def test_the_first_span_makes_the_champion(story: Story, version: Path) -> None:
    assert story.gate_says("first") == {"todo": "train", "spans": "1", "start_from": ""}
    examples = story.runs["first"].store.output("CorpusExampleGen", "examples").metadata
    assert examples["custom:span"] == 1
    assert examples["input_fingerprint"].startswith("split:all,num_files:1,")
    assert metering_of(version)["spans"] == [1]
    for looked_up in ("ChampionLookup", "StartingPoint"):
        assert story.runs["first"].store.output(looked_up, "model").metadata["absent"] == 1


def test_the_model_says_which_run_and_which_code_made_it(story: Story, version: Path) -> None:
    metering = metering_of(version)
    assert metering["pipeline_run"] == story.runs["first"].run_id
    assert len(metering["code_version"]) == 16


def test_what_passes_between_nodes_keeps_its_properties(story: Story, version: Path) -> None:
    store = story.runs["first"].store
    tokenizer = store.output("TokenizerTrainer", "tokenizer").metadata
    assert tokenizer["fingerprint"] == metering_of(version)["tokenizer_fingerprint"]
    blessing = store.output("Evaluator", "blessing").metadata
    assert blessing["blessed"] == 1
    assert blessing["current_model_id"] == store.output("Meter", "metered_model").name
    assert "baseline_model_id" not in blessing
    pushed = store.output("Pusher", "pushed_model").metadata
    assert pushed["pushed_destination"] == str(version)


def test_the_pushed_model_is_served_and_counts_right(version: Path) -> None:
    pinned = version / "assets.extra" / "tokenizer"
    library = tokenizers.ByteLevelBPETokenizer.from_file(
        str(pinned / "vocab.json"), str(pinned / "merges.txt")
    )
    assert_served_and_counted(version, lambda text: library.encode(text).ids)
