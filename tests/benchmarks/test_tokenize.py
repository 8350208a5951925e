"""The benchmark's engines give the same ids, and its arithmetic is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tokenize.engines import TRAINERS, Engines, engines_of
from benchmarks.tokenize.measuring import Rates, measure

TEXTS = [f"Reads the table number {n} when the last reader has gone." for n in range(30)]


@pytest.mark.parametrize("kind", list(TRAINERS))
def test_both_engines_encode_every_text_in_every_turn(kind: str, tmp_path: Path) -> None:
    tokenizer = TRAINERS[kind](TEXTS, 320)
    engines = engines_of(tokenizer, tmp_path)
    expected = sum(tokenizer.count(text) for text in TEXTS)
    assert engines.encode_in_graph(TEXTS) == engines.encode_by_library(TEXTS) == expected
    rates = measure(engines, TEXTS, batch=7, turns=2)
    assert len(rates.graph) == len(rates.library) == 2
    assert rates.ratio > 0


def test_engines_that_disagree_are_not_compared() -> None:
    with pytest.raises(AssertionError, match="disagree on"):
        measure(Engines("none", len, lambda texts: len(texts) + 1), TEXTS, batch=8, turns=1)


def test_ratio_is_of_the_same_turn() -> None:
    # Given a machine that was slow in the first turn, for both
    assert Rates(graph=(10.0, 100.0, 90.0), library=(5.0, 50.0, 90.0)).ratio == 2
