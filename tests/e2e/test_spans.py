"""Continuous training through the command line: span after span, from the champion on."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.pipeline_commands import CONFIGS, nodes_of, run, versions_in
from tests.support.warm_process import run_tallygraph

SETTINGS = (
    "--set=model.init_from=champion",
    "--set=model.max_output_tokens=24",
    "--set=registry.min_gain=0.01",
)


@dataclass(frozen=True)
class Spans:
    """A corpus that grows span by span, its test set, and what comes of it."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def arrive(self, span: int, lines: list[str]) -> None:
        (self.folder / f"span-{span}").mkdir()
        (self.folder / f"span-{span}" / "pairs.jsonl").write_text("".join(lines))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(
            CONFIGS / "tiny.toml",
            self.folder / "span-{SPAN}" / "pairs.jsonl",
            self.output,
            f"--set=corpus.test_path={self.folder / 'test.jsonl'}",
            *SETTINGS,
            *arguments,
        )

    def registry(self, *arguments: str) -> str:
        """What `tallygraph registry` prints."""
        finished = run_tallygraph("registry", *arguments, f"--output={self.output}")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stderr == ""
        return finished.stdout


def record_of(version: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads(
        (version / "assets.extra" / "metering.json").read_text()
    )
    return record


def damaged(line: str) -> str:
    """A row whose summary says nothing of its document: of the same form, and worthless."""
    row = json.loads(line)
    return json.dumps({**row, "summary": "the the the the end."}) + "\n"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_spans_a_better_one_is_served_a_damaged_one_is_not_and_one_can_go_back(
    corpus_file: Path, tmp_path: Path
) -> None:
    # Given a test set that stays as it is, and a corpus of one span
    rows = corpus_file.read_text().splitlines(keepends=True)
    spans = Spans(tmp_path)
    (tmp_path / "test.jsonl").write_text("".join(rows[::8]))
    rows = [row for place, row in enumerate(rows) if place % 8]
    spans.arrive(1, rows[::2])

    # When it is trained on, for a short while, and then again
    first = spans.run("--span=latest", "--set=training.steps=40")
    again = spans.run("--span=latest", "--set=training.steps=40")

    # Then the first model is the champion, and the second run has nothing to do
    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to do: the newest span is 1" in again.stdout
    (old,) = versions_in(spans.output)
    assert record_of(old)["spans"] == [1]

    # And when a new span arrives, and a person has the last word
    spans.arrive(2, rows[1::2])
    second = ("--span=latest:2", "--set=training.steps=120")
    waiting = spans.run(*second, "--set=registry.approval=manual")

    # Then the better model waits
    assert waiting.returncode == 3, waiting.stdout + waiting.stderr
    assert "too few to tell (drift.min_documents = 200)" in waiting.stdout
    assert "Promoter did not make version 2 the champion." in waiting.stdout
    assert "waits for approval: `tallygraph registry promote 2`" in waiting.stdout
    assert versions_in(spans.output) == [old]

    # And when it need not, it takes the champion's place: of both spans, with its tokenizer
    better = spans.run(*second)
    assert better.returncode == 0, better.stdout + better.stderr
    _, new = versions_in(spans.output)
    assert record_of(new)["spans"] == [1, 2]
    assert record_of(new)["tokenizer_fingerprint"] == record_of(old)["tokenizer_fingerprint"]
    report = (spans.output / "reports" / "tiny.html").read_text()
    assert "The new span" in report

    # And when it is rolled back, the run that made it does not bring it back from the cache
    assert "champion: 2 -> 1" in spans.registry("rollback")
    repeated = spans.run(*second)
    assert repeated.returncode == 3, repeated.stdout + repeated.stderr
    done = [name for name, how in nodes_of(repeated.stdout).items() if how == "done"]
    assert done == ["ChampionResolver", "Promoter", "Pusher"]
    assert "It was rolled back at" in " ".join(repeated.stdout.split())
    assert "champion: 1 -> 2" in spans.registry("promote", "2")
    served = versions_in(spans.output)

    # And when the next span is damaged, its model is stopped, and the report says why
    spans.arrive(3, [damaged(row) for row in rows])
    stopped = spans.run("--span=latest", "--set=training.steps=120")
    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    reason = "below the latest blessed model&#39;s; at most 0.02 below is allowed"
    assert reason.replace("&#39;", "'") in " ".join(stopped.stdout.split())
    assert reason in " ".join((spans.output / "reports" / "tiny.html").read_text().split())
    assert versions_in(spans.output) == served
    assert record_of(served[-1]) == record_of(new)

    # And one command says where the served version comes from
    lineage = spans.registry("lineage", new.name)
    assert str(record_of(new)["tokenizer_fingerprint"]) in lineage
    assert "1 2" in lineage or "1, 2" in lineage

    # And one command puts the first one back
    assert "champion: 2 -> 1" in spans.registry("rollback")
    newest = versions_in(spans.output)[-1]
    assert newest not in served
    assert record_of(newest) == record_of(old)
