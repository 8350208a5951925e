"""How many texts are summarised: counting is cheap and decoding is not, so ids bound it.

What an answer costs is the ids that it may decode, times the beams that are followed: known
before anything is run and the same on every machine, as a time would not be.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from components.meter_validator.texts import NamedText

_BATCH_SIZES: Final = (2, 7, 32)
_LIMIT_ROWS: Final = 8
# One alone would say nothing of batches.
_LEAST_TEXTS: Final = 2
_NO_LIMIT: Final = 2**31 - 1
BELOW_ZERO: Final = (-1, -(2**31))


def batch_sizes(texts: int) -> tuple[int, ...]:
    """Sizes of the batches that texts are asked for in; none is larger than their number."""
    return tuple(sorted({min(size, texts) for size in _BATCH_SIZES} - {0}))


def limit_rows(texts: int) -> int:
    """Number of texts that are asked for under limits."""
    return min(_LIMIT_ROWS, texts, max(1, texts // 2))


def uniform_limits(most: int) -> tuple[int, ...]:
    """The callers' limits that hold for a whole batch; 0 is none.

    Args:
      most: the model's own limit.
    """
    return tuple(sorted({0, 1, 2, most // 2, most - 1, most, most + 1, _NO_LIMIT}))


def mixed_limits(most: int, rows: int) -> list[int]:
    """Limits of the rows of one batch."""
    return [(0, 1, 2, most)[place % 4] for place in range(rows)]


def ids_decoded(texts: int, most: int) -> int:
    """Number of ids that all checks of so many texts decode at most, per beam.

    Args:
      texts: asked for alone, in batches and, the first of them, under limits.
      most: the model's `max_output_tokens`.
    """
    rows = texts + sum(texts + -texts % size for size in batch_sizes(texts))
    under_limits = limit_rows(texts)
    limits = [
        *(limit for limit in uniform_limits(most) for _ in range(under_limits)),
        *mixed_limits(most, under_limits),
    ]
    decoded = sum(min(limit, most) if limit else most for limit in limits)
    return rows * most + decoded + (len(BELOW_ZERO) if under_limits else 0)


def within_budget(
    documents: Sequence[NamedText],
    hard: Sequence[NamedText],
    *,
    budget: int,
    most: int,
    num_beams: int,
) -> list[NamedText]:
    """Return the texts whose answers are checked, as many as the budget allows.

    Two are checked in any case. Documents and hard texts take turns, so that both are among
    few.

    Args:
      documents, hard: all texts, the first of each first.
      budget: ids times beams.
      most: the model's `max_output_tokens`.
      num_beams: the model's.
    """
    texts = [*documents, *hard]
    count = min(_LEAST_TEXTS, len(texts))
    while count < len(texts) and ids_decoded(count + 1, most) * num_beams <= budget:
        count += 1
    turns = itertools.chain.from_iterable(itertools.zip_longest(documents, hard))
    chosen = {item.name for item in itertools.islice(filter(None, turns), count)}
    return [item for item in texts if item.name in chosen]
