"""Other settings of decoding, in a run after the first: nothing is trained again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.pipeline_commands import CONFIGS, nodes_of, run, versions_in

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_another_way_of_decoding_is_exported_evaluated_and_pushed_without_training(
    corpus_file: Path, tmp_path: Path
) -> None:
    config = CONFIGS / "tiny.toml"
    first = run(config, corpus_file, tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    (version,) = versions_in(tmp_path)

    finished = run(config, corpus_file, tmp_path, "--set=model.num_beams=2")

    printed = finished.stdout + finished.stderr
    assert finished.returncode == 0, printed
    assert re.search(
        r"^changed since the last run: model\.num_beams 1 -> 2: Exporter and what follows it "
        r"run again, .*; training stays cached$",
        printed,
        re.M,
    )
    nodes = list(nodes_of(printed).items())
    from_exporter = [name for name, _ in nodes].index("Exporter")
    # A resolver only looks up; there is nothing of it to cache.
    assert {how for name, how in nodes[:from_exporter] if name != "ChampionResolver"} == {
        "cached"
    }
    assert {how for _, how in nodes[from_exporter:]} == {"done"}
    before, after = versions_in(tmp_path)
    assert before == version
    described = [each / "assets.extra" / "base.json" for each in (before, after)]
    assert [json.loads(file.read_text())["num_beams"] for file in described] == [1, 2]
    weights = Path("assets.extra", "checkpoint", "model.weights.h5")
    assert (before / weights).read_bytes() == (after / weights).read_bytes()
