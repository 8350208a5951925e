"""Which passages of a summary stand in its document, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipelines.evaluation.words import word_spans

LEAST_WORDS: Final = 3
"""Two words in a row are often shared by chance; three rarely are."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a summary, as it is written there."""

    text: str
    copied: bool


def passages(document: str, summary: str) -> tuple[Passage, ...]:
    """A summary cut into what was copied from the document, and what was not.

    Copied are the longest runs of `LEAST_WORDS` words and more that stand in the document in
    the same order with no other word between them, whatever the punctuation and the case.

    Returns:
      passages whose texts make up the summary; none for an empty one.
    """
    there = [word for word, _, _ in word_spans(document)]
    words = word_spans(summary)
    cut: list[Passage] = []
    place = 0
    for first, end in _runs([word for word, _, _ in words], there):
        start, stop = words[first][1], words[end - 1][2]
        cut += [Passage(summary[place:start], False), Passage(summary[start:stop], True)]
        place = stop
    cut.append(Passage(summary[place:], False))
    return tuple(each for each in cut if each.text)


def _runs(words: list[str], there: list[str]) -> list[tuple[int, int]]:
    """First word and end of each run, in order; where two overlap, the second is cut."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(there) - LEAST_WORDS + 1):
        places.setdefault(tuple(there[place : place + LEAST_WORDS]), []).append(place)
    runs = []
    covered = 0
    for first in range(len(words) - LEAST_WORDS + 1):
        starts = places.get(tuple(words[first : first + LEAST_WORDS]))
        if starts is None:
            continue
        end = first + max(_shared(words[first:], there, place) for place in starts)
        if end > covered:
            runs.append((max(first, covered), end))
            covered = end
    return runs


def _shared(words: list[str], there: list[str], place: int) -> int:
    """How many words are the same from there on."""
    length = 0
    while length < min(len(words), len(there) - place):
        if words[length] != there[place + length]:
            break
        length += 1
    return length
