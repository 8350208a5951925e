"""A bound on what a vocabulary is trained on: the same sample of a corpus in any order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

# Memory and time of training grow with the text. SentencePiece's own bound
# (`input_sentence_size`) is for corpora of many millions of lines, from which it trains
# vocabularies of 32,000 pieces and more; the pieces of one of a few thousand hardly change
# beyond a tenth of that, and 100,000 sentences are 20 to 100 MB of text.
MAX_SENTENCES: Final = 100_000


class TextSample:
    """Takes a bounded number of texts, and says of how many.

    The texts whose hashes are smallest are taken, so which ones they are depends neither on
    their order nor on the files that they come from, and a corpus that grows keeps most of its
    sample. Equal texts have equal hashes: they are taken, or not, together.

    Attributes:
      most: number of texts that are taken at most.
      seen, taken: numbers of texts; 0 before `of` was called.
    """

    def __init__(self, most: int = MAX_SENTENCES) -> None:
        self.most = most
        self.seen = 0
        self.taken = 0

    def of(self, texts: Iterable[str]) -> list[str]:
        """Return all texts in their own order or, if they are too many, the sample in the
        order of its hashes. Holds no more than the sample in memory."""
        kept: list[str] = []
        smallest: list[tuple[int, str]] = []  # a heap, of negative hashes: the largest first
        self.seen = 0
        for text in texts:
            self.seen += 1
            if self.seen <= self.most:
                kept.append(text)
                continue
            if not smallest:
                smallest = [(-_hash(each), each) for each in kept]
                heapq.heapify(smallest)
                kept = []
            heapq.heappushpop(smallest, (-_hash(text), text))
        if smallest:
            kept = [text for _, text in sorted(smallest, reverse=True)]
        self.taken = len(kept)
        return kept

    def note(self) -> str:
        """Say what was taken, in words; empty if it was everything."""
        if self.taken == self.seen:
            return ""
        return f"{self.taken:,} of {self.seen:,} sentences"


def _hash(text: str) -> int:
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big")
