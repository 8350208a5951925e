"""Slices of examples that are reported together: by source, and by length of the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pipelines.evaluation.config import EvaluationConfig

# Computed features, one value each; TFMA slices by them.
SOURCE_SLICE: Final = "source_slice"
LENGTH_SLICE: Final = "length_slice"

OTHER_SOURCES: Final = "other sources"


def sources_with_slices(sources: Sequence[bytes], config: EvaluationConfig) -> set[bytes]:
    """Return the sources that get their own slice.

    Args:
      sources: the source of every example.
    """
    counts = Counter(sources)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {
        source
        for source, count in largest[: config.max_sources]
        if count >= config.min_examples_per_slice
    }


def length_slice(document: bytes, bounds: tuple[int, ...]) -> str:
    """Return the name of a document's length slice; words are separated by white space."""
    length = len(document.decode("utf-8", "replace").split())
    lower = 0
    for upper in bounds:
        if length <= upper:
            return f"{lower}–{upper} words"
        lower = upper + 1
    return f"{lower} or more words"


def length_order(name: str) -> int:
    """Sorts length slices by their lower bounds."""
    return int(name.split("–")[0].split()[0])
