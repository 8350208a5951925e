"""Equal data raises no alarm at the default bounds, and a real change always does.

By simulation: texts are drawn from a source, with lengths as wide as real corpora have them, a
few of them very long, and a topic for each, so that the tokens of a document are no independent
draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import sparse

from pipelines.drift.comparison import measure
from pipelines.drift.config import DriftConfig
from pipelines.drift.distance import length_distance
from pipelines.drift.statistics import (
    DOCUMENT_TOKENS,
    SUMMARY_TOKENS,
    TOKENS_PER_BYTE,
    TextStatistics,
)
from tests.support.sizes import sized

VOCABULARY = 2_000
TOPICS = 20
PAIRS = sized(quick=100, long=400)
# A pair of the largest takes a second: so few of them, and none for every change.
LARGER = pytest.param(2_000, PAIRS, marks=pytest.mark.long)
LARGEST = pytest.param(20_000, PAIRS // 10, marks=pytest.mark.long)


@dataclass(frozen=True)
class Source:
    """Where texts come from."""

    median_tokens: float = 60
    spread: float = 0.8  # of the logarithm of a length
    tokens_per_byte: float = 0.25
    unknown: float = 0.001
    words: int = 1  # seed of which tokens are frequent

    def draw(self, documents: int, random: np.random.Generator) -> TextStatistics:
        length = random.lognormal(np.log(self.median_tokens), self.spread, documents)
        very_long = random.random(documents) < 0.001
        tokens = np.ceil(np.minimum(np.where(very_long, 100 * length, length), 20_000))
        # At most 100 tokens of a document: of one topic, whose words are its own in part.
        drawn = np.minimum(tokens, 100).astype(int)
        topic = np.repeat(random.integers(TOPICS, size=documents), drawn)
        rank = np.minimum(random.zipf(1.3, drawn.sum()) - 1, VOCABULARY - 1)
        order = np.random.default_rng(self.words).permutation(VOCABULARY)
        token = order[(rank + np.where(rank > 20, 7 * topic, 0)) % VOCABULARY]
        document = np.repeat(np.arange(documents), drawn)
        counts = sparse.coo_array(
            (np.ones(len(token)), (document, token)), shape=(documents, VOCABULARY)
        )
        return TextStatistics(
            {
                DOCUMENT_TOKENS: tokens,
                SUMMARY_TOKENS: np.ceil(tokens * random.uniform(0.05, 0.2, documents)),
                TOKENS_PER_BYTE: random.normal(self.tokens_per_byte, 0.03, documents),
            },
            counts.tocsr(),
            random.binomial(drawn, self.unknown) / drawn,
        )


PLAIN = Source()
CHANGES = {
    "half the length": replace(PLAIN, median_tokens=30),
    "another language": replace(PLAIN, tokens_per_byte=0.5, unknown=0.05, words=2),
    "another source": replace(PLAIN, words=3),
    "unknown letters": replace(PLAIN, unknown=0.05),
}


def findings(old: TextStatistics, new: TextStatistics) -> list[str]:
    return [found.name for found in measure(old, new, DriftConfig()) if found.drifted]


@pytest.mark.sized
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("documents", "pairs"), [(200, PAIRS), LARGER, LARGEST])
def test_equal_data_is_quiet(documents: int, pairs: int) -> None:
    random = np.random.default_rng(documents)
    alarms = [
        found
        for _ in range(pairs)
        if (found := findings(PLAIN.draw(documents, random), PLAIN.draw(documents, random)))
    ]
    assert len(alarms) <= 0.01 * pairs, alarms


@pytest.mark.sized
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("documents", [200, 2_000])
def test_a_real_change_is_always_found(change: str, documents: int) -> None:
    random = np.random.default_rng(documents)
    for _ in range(PAIRS // 10):
        old = PLAIN.draw(documents, random)
        assert findings(old, CHANGES[change].draw(documents, random)), change


def test_one_very_long_document_moves_nothing() -> None:
    lengths = np.arange(1.0, 201.0)
    with_one = lengths.copy()
    with_one[7] = 1e6
    assert length_distance(lengths, lengths).value == 0
    assert length_distance(lengths, with_one).value <= 1 / 200 + 1e-12
    assert length_distance(lengths, lengths / 2).value == pytest.approx(0.5)
    assert length_distance(lengths, lengths).by_chance == pytest.approx(0.1949, abs=1e-4)
