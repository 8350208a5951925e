"""Learning-rate schedules: each rises linearly over the warm-up, then falls in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras
from keras import ops

_FLOOR: Final = 0.05  # share of the peak rate that is left at the last step


class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to ``peak`` over ``warmup_steps``, and stays there.

    With ``n = step + 1``, because steps are counted from 0, the rate is ``peak * min(1, n /
    warmup_steps)``: the warm-up of Goyal et al. 2017, "Accurate, Large Minibatch SGD"
    (arXiv:1706.02677, section 2.2). Without a warm-up the first step has the peak rate.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(self.warmup_steps, 1)
        return self.peak * ops.minimum(ops.minimum(rise, 1.0), self.fall(step))

    def fall(self, step: Any) -> Any:
        """Return the share of the peak rate after the warm-up, 1 or less; float32."""
        return ops.ones_like(step)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "steps": self.steps,
        }


class WarmupLinearDecay(WarmupSchedule):
    """After the warm-up falls linearly to 5 % of the peak.

    The fall ends at ``steps``, because a run's length is known: a rate that is still high at
    the end leaves noise in the weights that are exported. Its form is that of Devlin et al.
    2019, "BERT" (arXiv:1810.04805, appendix A.2), which falls to 0.
    """

    def fall(self, step: Any) -> Any:
        left = (self.steps - step) / max(self.steps - self.warmup_steps, 1)
        return _FLOOR + (1.0 - _FLOOR) * ops.clip(left, 0.0, 1.0)


class WarmupCosineDecay(WarmupSchedule):
    """After the warm-up falls to 5 % of the peak along half a cosine.

    ``0.05 + 0.95 * (1 + cos(pi * t / T)) / 2``, where ``t`` counts the steps after the warm-up
    and ``T`` is how many there are: equation 5 of Loshchilov and Hutter 2017, "SGDR"
    (arXiv:1608.03983), without restarts; Keras computes it.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        super().__init__(peak, warmup_steps, steps)
        self._decay = keras.optimizers.schedules.CosineDecay(
            1.0, max(steps - warmup_steps, 1), alpha=_FLOOR
        )

    def fall(self, step: Any) -> Any:
        return self._decay(ops.maximum(step - self.warmup_steps, 0.0))


class WarmupInverseSquareRoot(WarmupSchedule):
    """After the warm-up falls with the inverse square root of the step.

    ``min(1, sqrt(warmup_steps / n))`` with ``n = step + 1``: section 5.3 of Vaswani et al.
    2017, "Attention Is All You Need" (arXiv:1706.03762), with the peak given rather than
    derived from the model's width. It does not depend on ``steps``.
    """

    def fall(self, step: Any) -> Any:
        return ops.minimum(ops.sqrt(max(self.warmup_steps, 1) / (step + 1.0)), 1.0)


SCHEDULES: Final[Mapping[str, type[WarmupSchedule]]] = {
    "linear": WarmupLinearDecay,
    "cosine": WarmupCosineDecay,
    "constant": WarmupSchedule,
    "inverse_sqrt": WarmupInverseSquareRoot,
}
