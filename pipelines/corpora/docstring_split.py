"""Splits mined pairs into a training and a held-out split that share nothing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.corpora.docstring_mining import MinedPair
from pipelines.corpora.near_duplicates import (
    DisjointSets,
    Shingles,
    alike_to_any,
    close_to_any,
    equal_keys,
    normalised,
    shingles,
    similar_pairs,
    word_set,
)

# Documents at least this alike (Jaccard, word trigrams) are one cluster.
CLUSTER_JACCARD: Final = 0.6
# A held-out document may share less than this of the smaller text with a training one.
LEAK_CONTAINMENT: Final = 0.7
# ... and its set of words must be less alike (Jaccard) than this to any training one's.
LEAK_WORD_JACCARD: Final = 0.6


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How the corpus is divided.

    Attributes:
      eval_pairs: pairs to hold out, if there are enough; those close to a training
        document are then left out.
      max_eval_fraction: no more than this share of all pairs is held out.
      max_pairs_per_source: per top-level package, so that none dominates.
      max_pairs_per_cluster: training pairs kept of texts that are nearly the same. Of a
        held-out cluster one pair is kept, so that no text is scored twice.
    """

    eval_pairs: int = 1400
    max_eval_fraction: float = 0.1
    max_pairs_per_source: int = 3000
    max_pairs_per_cluster: int = 4


@dataclass(slots=True)
class SplitPairs:
    """Both splits, in the order the pairs were mined; ``rejects`` counts pairs left out."""

    train: list[MinedPair]
    eval: list[MinedPair]
    rejects: Counter[str]
    clusters: int


def split_pairs(mined: Sequence[MinedPair], settings: SplitSettings) -> SplitPairs:
    """Remove duplicates, cluster near-duplicates and divide whole clusters.

    The split of a cluster depends only on a hash of its first id, not on the order of mining or
    the number of processes.
    """
    rejects: Counter[str] = Counter()
    pairs = _without_duplicates(mined, rejects)
    pairs = _capped_by_source(pairs, settings.max_pairs_per_source, rejects)
    documents = [shingles(pair.document) for pair in pairs]
    clusters = DisjointSets(len(pairs))
    for first, second in equal_keys(normalised(pair.summary) for pair in pairs):
        clusters.union(first, second)
    for first, second in similar_pairs(documents, CLUSTER_JACCARD):
        clusters.union(first, second)
    groups = sorted(clusters.groups(), key=lambda group: _hash(pairs[group[0]].id))

    wanted = min(settings.eval_pairs, int(settings.max_eval_fraction * len(pairs)))
    held_out: list[int] = []
    train: list[int] = []
    for group in groups:
        by_hash = sorted(group, key=lambda position: _hash(pairs[position].id))
        keep = 1 if len(held_out) < wanted else settings.max_pairs_per_cluster
        (held_out if len(held_out) < wanted else train).extend(by_hash[:keep])
        if len(group) > keep:
            rejects["near-duplicate of kept pairs"] += len(group) - keep
    train.sort()
    held_out.sort()
    close = _close_to_training(pairs, documents, held_out, train)
    if close:
        rejects["held out but close to a training document"] += len(close)
    return SplitPairs(
        train=[pairs[position] for position in train],
        eval=[pairs[p] for index, p in enumerate(held_out) if index not in close],
        rejects=rejects,
        clusters=len(groups),
    )


def _close_to_training(
    pairs: Sequence[MinedPair],
    documents: Sequence[Shingles],
    held_out: Sequence[int],
    train: Sequence[int],
) -> set[int]:
    """Indexes into ``held_out`` of pairs that training would give away."""
    contained = close_to_any(
        [documents[position] for position in held_out],
        (documents[position] for position in train),
        LEAK_CONTAINMENT,
    )
    alike = alike_to_any(
        [word_set(pairs[position].document) for position in held_out],
        [word_set(pairs[position].document) for position in train],
        LEAK_WORD_JACCARD,
    )
    return contained | alike


def _without_duplicates(mined: Sequence[MinedPair], rejects: Counter[str]) -> list[MinedPair]:
    seen: set[str] = set()
    pairs = []
    for pair in mined:
        document = normalised(pair.document)
        if document in seen:
            rejects["duplicate document"] += 1
        elif normalised(pair.summary) in document:
            # The description repeats the line above it: copying would be enough.
            rejects["document contains its summary"] += 1
        else:
            seen.add(document)
            pairs.append(pair)
    return pairs


def _capped_by_source(
    pairs: Sequence[MinedPair], limit: int, rejects: Counter[str]
) -> list[MinedPair]:
    by_source: dict[str, list[MinedPair]] = defaultdict(list)
    for pair in pairs:
        by_source[pair.source].append(pair)
    kept: set[str] = set()
    for members in by_source.values():
        kept.update(pair.id for pair in sorted(members, key=lambda p: _hash(p.id))[:limit])
    if len(kept) < len(pairs):
        rejects["over the limit of its package"] += len(pairs) - len(kept)
    return [pair for pair in pairs if pair.id in kept]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
