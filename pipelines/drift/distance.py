"""How far two samples of texts are apart, and how far chance alone may take equal texts.

Two samples of one corpus are never equal, and the fewer documents they have, the further they
are apart. A distance is drift only where it is above both the bound that is set and this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy import sparse
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

# The share of equal samples whose lengths are further apart than chance is said to take them.
_FALSE_ALARMS: Final = 1e-3
# Documents are dealt to two sides anew so many times; chance is so many standard deviations
# above what these differ by on average.
_DEALS: Final = 32
_DEVIATIONS: Final = 5.0


class Distance(NamedTuple):
    """A distance, and the largest that chance explains."""

    value: float
    by_chance: float


def length_distance(old: np.ndarray, new: np.ndarray) -> Distance:
    """Kolmogorov and Smirnov's: the largest difference of the shares below any length.

    It goes by ranks, so that one very long document moves it no more than any other.

    Args:
      old, new: float64, one value for each document.

    Returns:
      from 0 to 1. By chance: the asymptotic quantile of the two-sample statistic, Smirnov
      (1948), ``sqrt(-ln(a / 2) / 2 * (n + m) / (n * m))``; values that are equal make it
      larger than it need be.
    """
    value = float(ks_2samp(old, new, method="asymp").statistic)
    sizes = (len(old) + len(new)) / (len(old) * len(new))
    return Distance(value, float(np.sqrt(-np.log(_FALSE_ALARMS / 2) / 2 * sizes)))


class Deals:
    """Two samples, and the same documents dealt to two sides of these sizes at random.

    How often tokens are used differs between documents, not between tokens: only whole
    documents that change sides say what chance can do. The deals are the same in every run.
    """

    def __init__(self, old: int, new: int) -> None:
        """Deal.

        Args:
          old, new: numbers of documents.
        """
        random = np.random.default_rng(20261127)
        dealt = [random.permutation(old + new) < old for _ in range(_DEALS)]
        first = np.arange(old + new) < old
        # [deals + 1, documents]: 1 where a document is on the first side; the first row is the
        # two samples as they are.
        self._first = np.array([first, *dealt], np.float64)

    def token_distance(self, old: sparse.csr_array, new: sparse.csr_array) -> Distance:
        """Jensen and Shannon's divergence of how often each token is used, in bits.

        Args:
          old, new: [documents, vocabulary], how often each token is in a document.

        Returns:
          from 0 to 1.
        """
        counts = sparse.vstack([old, new]).tocsc()
        on_first = (counts.T @ self._first.T).T
        on_second = (counts.T @ (1 - self._first).T).T
        divergences = [
            jensenshannon(one, other, base=2) ** 2
            for one, other in zip(on_first, on_second, strict=True)
        ]
        return _with_chance(np.array(divergences))

    def rise(self, old: np.ndarray, new: np.ndarray) -> Distance:
        """How much larger the mean of ``new`` is; below 0 if it is smaller."""
        values = np.concatenate([old, new])
        first, second = self._first, 1 - self._first
        rises = second @ values / second.sum(axis=1) - first @ values / first.sum(axis=1)
        return _with_chance(rises)


def _with_chance(distances: np.ndarray) -> Distance:
    dealt = distances[1:]
    return Distance(float(distances[0]), float(dealt.mean() + _DEVIATIONS * dealt.std()))
