"""The sections of the page on trained models, each of which shows one kind of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class TrainedSection:
    """A section.

    Attributes:
      title: of the section.
      about: a sentence or two on the model, behind its sizes.
      results: name of the file of its results.
      again: how to measure again.
      batches: how many are measured, at most, by number of rows.
    """

    title: str
    about: str
    results: str
    again: str
    batches: tuple[tuple[int, int], ...]

    @property
    def anchor(self) -> str:
        """Where a link on the page leads."""
        return self.title.lower().replace(" ", "-")


DEMO: Final = TrainedSection(
    "A trained model",
    "It is small: a step takes so little time that what an engine spends besides the products "
    "decides much of it.",
    "decode-trained.json",
    "after `make demo`: `make bench-trained`",
    ((1, 128), (8, 32)),
)
EXTRACTS: Final = TrainedSection(
    "A trained model that copies",
    "Its encoder and decoder have T5-small's sizes. It was trained on [two sentences of each "
    "document](../../benchmarks/decode/extracts.py), for as long as it takes until it copies "
    "from a document ([settings](../../benchmarks/decode/extracts.toml)).",
    "decode-extracts.json",
    "`make bench-extracts`",
    ((1, 64), (8, 16)),
)
SECTIONS: Final = (DEMO, EXTRACTS)
