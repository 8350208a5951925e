"""What a byte-level BPE's merges mean for the order of work: tables for the graph, in NumPy.

The library joins one pair of a word at a time: always the most urgent one, of equal ones the
leftmost. Many joins can be made at once all the same, for most of them do not touch each
other. A pair ``u v`` that is the most urgent of its neighbourhood may be joined right away
unless the pieces beside it can first grow into something that takes ``u`` or ``v`` away:
left of it some ``x``, built from what stands there, with a merge ``x u`` that is more urgent
than ``u v``; likewise on the right. Those are its *threats*, and the merges alone say which
neighbours can become one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tokenizer.bpe_vocabulary import Bpe

NO_MERGE: Final = 2**31 - 1
"""Rank of pieces that do not join, or threat where there is none."""


@dataclass(frozen=True, slots=True)
class PairTable:
    """A rank for each of some pairs of pieces.

    Attributes:
      keys: int64, ascending: left id * vocabulary size + right id. The last is one that no
        pair has, so that a search never runs off the end.
      ranks: int32, of the same length.
    """

    keys: np.ndarray
    ranks: np.ndarray

    @classmethod
    def of(cls, ranks: Mapping[tuple[int, int], int], size: int) -> PairTable:
        keys = np.array([left * size + right for left, right in ranks], np.int64)
        order = np.argsort(keys)
        values = np.array(list(ranks.values()), np.int32)
        return cls(
            np.append(keys[order], np.int64(2**62)),
            np.append(values[order], np.int32(NO_MERGE)),
        )


@dataclass(frozen=True, slots=True)
class MergeTables:
    """All that joining needs.

    Attributes:
      pairs: rank of each merge.
      merged_ids: int32 [merges], id that a merge makes, by rank.
      joins_early: bool [merges], whether a merge may be made before its turn: what it makes
        has a part in less urgent merges only.
      left_threats: for a pair ``t u`` the rank of the most urgent merge ``x u`` with an
        ``x`` that ``t`` can become the end of.
      right_threats: for a pair ``v w`` the rank of the most urgent merge ``v y`` with a
        ``y`` that ``w`` can become the beginning of.
      longest_piece: in bytes. What stands further off cannot become part of a threat.
    """

    pairs: PairTable
    merged_ids: np.ndarray
    joins_early: np.ndarray
    left_threats: PairTable
    right_threats: PairTable
    longest_piece: int


def merge_tables(bpe: Bpe) -> MergeTables:
    """The tables of a vocabulary."""
    size = len(bpe.ids)
    merges = [(bpe.ids[left], bpe.ids[right]) for left, right in bpe.merges]
    merged = [bpe.ids[left + right] for left, right in bpe.merges]
    pieces = sorted(bpe.ids, key=lambda piece: bpe.ids[piece])
    ends = _spine(pieces, zip(merged, (right for _, right in merges), strict=True))
    beginnings = _spine(pieces, zip(merged, (left for left, _ in merges), strict=True))
    left_threats: dict[tuple[int, int], int] = {}
    right_threats: dict[tuple[int, int], int] = {}
    last_as_left = {left: rank for rank, (left, _) in enumerate(merges)}
    last_as_right = {right: rank for rank, (_, right) in enumerate(merges)}
    for rank, (left, right) in enumerate(merges):
        # Only where `right` joins what follows it, less urgently, is there a pair to threaten.
        if rank <= last_as_left.get(right, -1):
            for end in ends.get(left, ()):
                left_threats.setdefault((end, right), rank)
        if rank < last_as_right.get(left, -1):
            for beginning in beginnings.get(right, ()):
                right_threats.setdefault((left, beginning), rank)
    return MergeTables(
        pairs=PairTable.of({pair: rank for rank, pair in enumerate(merges)}, size),
        merged_ids=np.array(merged, np.int32),
        joins_early=np.array(list(_joins_early(merges, merged)), np.bool_),
        left_threats=PairTable.of(left_threats, size),
        right_threats=PairTable.of(right_threats, size),
        longest_piece=max(map(len, pieces)),
    )


def _spine(
    pieces: Sequence[str], parts: Iterable[tuple[int, int]]
) -> Mapping[int, frozenset[int]]:
    """All that can stand at one end of a piece before it is built, by piece.

    Args:
      pieces: by id.
      parts: (piece, its part at that end), for each merge.
    """
    parts_of: dict[int, set[int]] = {}
    for piece, part in parts:
        parts_of.setdefault(piece, set()).add(part)
    spine: dict[int, frozenset[int]] = {}
    # A part is shorter than what it is a part of, so it comes first.
    for piece in sorted(parts_of, key=lambda value: len(pieces[value])):
        own = parts_of[piece]
        spine[piece] = frozenset(own).union(*(spine.get(part, ()) for part in own))
    return spine


def _joins_early(merges: list[tuple[int, int]], merged: list[int]) -> Iterator[bool]:
    most_urgent: dict[int, int] = {}
    for rank, pair in enumerate(merges):
        for piece in pair:
            most_urgent.setdefault(piece, rank)
    for rank, made in enumerate(merged):
        yield most_urgent.get(made, NO_MERGE) > rank
