"""Continuous training through the command line: span after span, from the champion on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from pipeline_commands import CONFIGS, TALLYGRAPH, run, versions_in

SETTINGS = ("--set=training.steps=40", "--set=model.init_from=champion")


def record_of(version: Path) -> dict[str, object]:
    record: dict[str, object] = json.loads(
        (version / "assets.extra" / "metering.json").read_text()
    )
    return record


@pytest.mark.timeout(600)
def test_each_span_goes_on_from_the_champion_waits_for_approval_and_can_be_rolled_back(
    corpus_file: Path, tmp_path: Path
) -> None:
    # Given a corpus of one span
    rows = corpus_file.read_text().splitlines(keepends=True)
    corpus, output = tmp_path / "span-{SPAN}" / "pairs.jsonl", tmp_path / "out"

    def arrive(span: int, lines: list[str]) -> None:
        (tmp_path / f"span-{span}").mkdir()
        (tmp_path / f"span-{span}" / "pairs.jsonl").write_text("".join(lines))

    arrive(1, rows[::2])

    # When it is run twice
    first = run(CONFIGS / "tiny.toml", corpus, output, "--span=latest", *SETTINGS)
    again = run(CONFIGS / "tiny.toml", corpus, output, "--span=latest", *SETTINGS)

    # Then the second run has nothing to do, and says so
    assert first.returncode == 0, first.stdout + first.stderr
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to do: the newest span is 1" in again.stdout
    (old,) = versions_in(output)
    assert record_of(old)["spans"] == [1]

    # And when a new span arrives, and a person has the last word
    arrive(2, rows[1::2])
    manual = ("--span=latest:2", *SETTINGS, "--set=registry.approval=manual")
    second = run(CONFIGS / "tiny.toml", corpus, output, *manual)

    # Then the new model waits
    assert second.returncode == 3, second.stdout + second.stderr
    assert "too few to tell (drift.min_documents = 200)" in second.stdout
    assert "Promoter did not make version 2 the champion." in second.stdout
    assert "waits for approval: `tallygraph registry promote 2`" in second.stdout
    assert versions_in(output) == [old]

    # And is served when it is approved: of both spans, with the champion's tokenizer
    assert "champion: 1 -> 2" in registry("promote", "2", f"--output={output}")
    _, new = versions_in(output)
    assert record_of(new)["spans"] == [1, 2]
    assert record_of(new)["tokenizer_fingerprint"] == record_of(old)["tokenizer_fingerprint"]

    # And one command puts the old one back
    assert "champion: 2 -> 1" in registry("rollback", f"--output={output}")
    newest = versions_in(output)[-1]
    assert newest not in (old, new)
    assert record_of(newest) == record_of(old)


def registry(*arguments: str) -> str:
    """What `tallygraph registry` prints."""
    finished = subprocess.run(
        [str(TALLYGRAPH), "registry", *arguments], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    return finished.stdout
