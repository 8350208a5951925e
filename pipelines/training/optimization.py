"""Learning-rate schedule and optimizer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipelines.training.settings import TrainingSettings

_FLOOR = 0.05  # share of the peak rate that is left at the last step


class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to ``peak`` over ``warmup_steps``, then falls linearly to 5 % of it.

    The fall ends at ``steps``, because a run's length is known: a rate that is still high at
    the end leaves noise in the weights that are exported.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(self.warmup_steps, 1)
        left = (self.steps - step) / max(self.steps - self.warmup_steps, 1)
        fall = _FLOOR + (1.0 - _FLOOR) * ops.clip(left, 0.0, 1.0)
        return self.peak * ops.minimum(ops.minimum(rise, 1.0), fall)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "steps": self.steps,
        }


def build_optimizer(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """Build the optimizer that the settings name, with its schedule."""
    schedule = WarmupLinearDecay(settings.learning_rate, settings.warmup_steps, settings.steps)
    if settings.optimizer == "adafactor":
        return keras.optimizers.Adafactor(schedule, relative_step=False)
    return keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, global_clipnorm=1.0
    )
