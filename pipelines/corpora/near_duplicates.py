"""Finds texts that are so similar that they must not be in both splits.

Candidates come from MinHash LSH, which may miss a pair; every candidate is then measured
on the exact shingle sets. Pairs that must not be missed (a held-out text close to a training
text) are searched exactly, with :func:`close_to_any` and :func:`alike_to_any`.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final

from datasketch import MinHash, MinHashLSH

SHINGLE_WORDS: Final = 3
PERMUTATIONS: Final = 64
# 16 bands of 4 rows: a pair of Jaccard similarity 0.6 is a candidate with probability
# 0.89, one of 0.8 with probability 0.9998.
_BANDS: Final = (16, 4)
_WORD: Final = re.compile(r"\w+")

Shingles = frozenset[int]
Words = frozenset[str]


class DisjointSets:
    """Union-find over 0 … size - 1."""

    def __init__(self, size: int):
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """Return the representative of an item's set: its smallest member."""
        root = item
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[item] != root:
            self._parent[item], item = root, self._parent[item]
        return root

    def union(self, first: int, second: int) -> None:
        low, high = sorted((self.find(first), self.find(second)))
        self._parent[high] = low

    def groups(self) -> list[list[int]]:
        """Return every set with its members in order, sorted by first member."""
        members: dict[int, list[int]] = defaultdict(list)
        for item in range(len(self._parent)):
            members[self.find(item)].append(item)
        return [members[root] for root in sorted(members)]


def normalised(text: str) -> str:
    """Lower-case words with single spaces: what "the same text" means for a split."""
    return " ".join(_WORD.findall(text.lower()))


def shingles(text: str) -> Shingles:
    """32-bit hashes of every run of three words of the normalised text.

    A text of fewer words is one shingle. The hash is CRC-32, the same in every process.
    """
    words = normalised(text).split()
    if len(words) <= SHINGLE_WORDS:
        return frozenset({zlib.crc32(" ".join(words).encode())})
    return frozenset(
        zlib.crc32(" ".join(words[start : start + SHINGLE_WORDS]).encode())
        for start in range(len(words) - SHINGLE_WORDS + 1)
    )


def word_set(text: str) -> Words:
    """The different words of the normalised text."""
    return frozenset(normalised(text).split())


def jaccard(first: frozenset[object], second: frozenset[object]) -> float:
    """Share of common members, 0 to 1."""
    common = len(first & second)
    return common / (len(first) + len(second) - common)


def containment(first: Shingles, second: Shingles) -> float:
    """Share of the smaller set that the other has too, 0 to 1."""
    return len(first & second) / min(len(first), len(second))


def similar_pairs(sets: Sequence[Shingles], threshold: float) -> Iterator[tuple[int, int]]:
    """Index pairs whose Jaccard similarity is at least ``threshold``.

    Every pair given is that similar; a few such pairs may be missing (see module). Pairs
    that are linked through others are not repeated.
    """
    index = MinHashLSH(num_perm=PERMUTATIONS, params=_BANDS)
    linked = DisjointSets(len(sets))
    hashes = (sorted(values) for values in sets)
    signatures = MinHash.generator(hashes, num_perm=PERMUTATIONS, hashfunc=int)
    for position, signature in enumerate(signatures):
        for other in sorted(index.query(signature)):
            if linked.find(other) == linked.find(position):
                continue
            if jaccard(sets[other], sets[position]) >= threshold:
                linked.union(other, position)
                yield other, position
        index.insert(position, signature, check_duplication=False)


def equal_keys(keys: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Index pairs that link all positions with equal keys."""
    first: dict[Hashable, int] = {}
    for position, key in enumerate(keys):
        if first.setdefault(key, position) != position:
            yield first[key], position


def close_to_any(
    held_out: Sequence[Shingles], others: Iterable[Shingles], threshold: float
) -> set[int]:
    """Positions in ``held_out`` whose containment in one of ``others`` is at least
    ``threshold``. Exact: no such position is missed."""
    holders: dict[int, list[int]] = defaultdict(list)
    for position, values in enumerate(held_out):
        for value in values:
            holders[value].append(position)
    close: set[int] = set()
    for other in others:
        common = Counter(p for value in other if value in holders for p in holders[value])
        for position, count in common.items():
            if count >= threshold * min(len(other), len(held_out[position])):
                close.add(position)
    return close


def alike_to_any(
    held_out: Sequence[Words], others: Sequence[Words], threshold: float
) -> set[int]:
    """Positions in ``held_out`` whose Jaccard similarity to one of ``others`` is at least
    ``threshold``. Exact: no such position is missed.

    On word sets this finds what shingles do not: the same text written about another
    thing (``put_artifacts`` and ``put_executions``), a word changed in every sentence.
    """
    frequency = Counter(word for words in (*held_out, *others) for word in words)

    def rarest(words: Words) -> list[str]:
        # Two sets that share t of their union share t of either, so at least one of the
        # first n - ceil(t n) + 1 words of each in any common order. Rare ones first, the
        # candidates are few.
        ordered = sorted(words, key=lambda word: (frequency[word], word))
        return ordered[: len(words) - math.ceil(threshold * len(words)) + 1]

    holders: dict[str, list[int]] = defaultdict(list)
    for position, words in enumerate(held_out):
        for word in rarest(words):
            holders[word].append(position)
    alike: set[int] = set()
    for other in others:
        candidates = {p for word in rarest(other) for p in holders.get(word, ())}
        alike.update(p for p in candidates - alike if jaccard(held_out[p], other) >= threshold)
    return alike
