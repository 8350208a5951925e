"""How a model is trained: the ``[training]`` section, as the training code wants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

OPTIMIZERS = ("adafactor", "adamw")


class TrainingSettingsError(ValueError):
    """Settings that training cannot follow. Never worth a retry."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What determines a training run, apart from model and data.

    Attributes:
      steps: optimizer steps of the whole run.
      batch_size: examples of one step.
      learning_rate: peak, reached at the end of warm-up.
      warmup_steps: steps over which the rate rises in a line from 0.
      eval_every_steps: steps between validations; each also writes a checkpoint.
      optimizer: ``adafactor`` or ``adamw``. keras-hub's T5 starts with embeddings of
        deviation 1, which AdamW at its usual rates hardly moves.
      weight_decay: of AdamW; Adafactor takes none.
      label_smoothing: share of the target spread over the vocabulary, in training only.
      validation_examples: held-out pairs that a validation reads at most.
      seed: of weights, order and dropout.
      xla: compile the training step. The exported graph is never compiled.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    eval_every_steps: int
    optimizer: str = "adafactor"
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    validation_examples: int = 2000
    seed: int = 20
    xla: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be at least 1. Received: {getattr(self, name)}"
            for name in ("steps", "batch_size", "eval_every_steps", "validation_examples")
            if getattr(self, name) < 1
        ]
        if self.optimizer not in OPTIMIZERS:
            problems.append(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}. "
                f"Received: {self.optimizer!r}"
            )
        if self.learning_rate <= 0:
            problems.append(
                f"learning_rate must be more than 0. Received: {self.learning_rate}"
            )
        if not 0 <= self.warmup_steps < max(self.steps, 1):
            problems.append(
                f"warmup_steps must be in [0, steps). Received: {self.warmup_steps} "
                f"of {self.steps} steps"
            )
        if not 0 <= self.label_smoothing < 1:
            problems.append(
                f"label_smoothing must be in [0, 1). Received: {self.label_smoothing}"
            )
        if problems:
            raise TrainingSettingsError("cannot train: " + "; ".join(problems))

    @classmethod
    def from_config(cls, training: Mapping[str, Any]) -> Self:
        """Settings from a config's ``[training]`` section.

        Raises:
          TrainingSettingsError: a setting is missing, unknown or out of bounds.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(training) - known):
            raise TrainingSettingsError(
                f"unknown training settings {', '.join(unknown)}. "
                f"Expected some of: {', '.join(sorted(known))}"
            )
        try:
            return cls(**training)
        except TypeError as error:
            raise TrainingSettingsError(
                f"the [training] section is not complete: {error}"
            ) from None
