"""The optimizer that the settings describe."""

from __future__ import annotations

import keras

from pipelines.training.schedules import SCHEDULES
from pipelines.training.settings import TrainingSettings


def build_optimizer(settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """Build the optimizer that the settings name, with its schedule and its clipping."""
    schedule = SCHEDULES[settings.schedule](
        settings.learning_rate, settings.warmup_steps, settings.steps
    )
    clip = settings.clip_norm or None  # Keras has None for no clipping
    if settings.optimizer == "adafactor":
        return keras.optimizers.Adafactor(schedule, relative_step=False, global_clipnorm=clip)
    return keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, global_clipnorm=clip
    )
