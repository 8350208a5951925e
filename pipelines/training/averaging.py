"""An exponential moving average of the weights of the last steps.

Each step's weights contain the noise of its few rows. Their average over a few hundred steps
does not, and it is what is validated and exported (Polyak and Juditsky, 1992).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import tensorflow as tf

# An average over hundreds of steps misses nothing if it looks at every eighth, and a pass
# over all weights costs as much as a tenth of a small model's step.
_EVERY_STEPS: Final = 8


class WeightAverage:
    """The average of a model's weights, kept beside them.

    Its decay grows with the steps, so that the random initial weights are soon
    forgotten: it is ``min(decay, (1 + n) / (10 + n))`` at the ``n``-th update.
    """

    def __init__(self, weights: Sequence[tf.Variable], decay: float) -> None:
        """Start from the current weights.

        Args:
          weights: the model's trainable variables.
          decay: per step, in (0, 1): the average covers about ``1 / (1 - decay)`` steps.
        """
        self._weights = list(weights)
        self._decay = decay**_EVERY_STEPS
        self.variables = [tf.Variable(weight, trainable=False) for weight in weights]

    def stepped(self, step: int) -> None:
        """Add the weights after step ``step``, if the average is updated at that step."""
        if step % _EVERY_STEPS == 0:
            looks = step // _EVERY_STEPS
            decay = min(self._decay, (1 + looks) / (10 + looks))
            self._take_in(tf.constant(1.0 - decay, tf.float32))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights inside the block, and its own again
        afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @tf.function(autograph=False)
    def _take_in(self, share: Any) -> None:
        for average, weight in zip(self.variables, self._weights, strict=True):
            average.assign_add(share * (weight - average))

    def _swap(self) -> None:
        for average, weight in zip(self.variables, self._weights, strict=True):
            own = tf.identity(weight)
            weight.assign(average)
            average.assign(own)
