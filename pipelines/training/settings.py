"""The ``[training]`` section: how a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


class TrainingSettingsError(ValueError):
    """Settings that training cannot follow. Never worth a retry."""


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """What determines a training run, apart from model and data."""

    steps: int = setting(1000, "Optimizer steps of the whole run.", ge=1)
    batch_size: int = setting(16, "Examples of one step.", ge=1, le=65_536)
    workers: int = setting(
        1,
        "Processes that train together, each with a part of every batch. Where TF_CONFIG is "
        "set, this process is one of that cluster; else all are started on this machine.",
        ge=1,
        le=1024,
    )
    optimizer: Literal["adafactor", "adamw"] = setting(
        "adafactor",
        "Optimizer. A fresh T5 has embeddings of deviation 1, which AdamW at its usual "
        "rates hardly moves.",
    )
    learning_rate: float = setting(0.01, "Peak rate, reached at the end of warm-up.", gt=0)
    warmup_steps: int = setting(100, "Steps over which the rate rises in a line from 0.", ge=0)
    start_copying: bool = setting(
        False,
        "Start a fresh T5 from weights that copy from the document; a few pairs alone hardly "
        "teach it. A model from a checkpoint needs neither this nor lead_steps.",
    )
    lead_steps: int = setting(
        0,
        "Steps over which the share of rows whose labels are the beginning of their document "
        "falls in a line from 1 to lead_share. Teaches a fresh model to read and copy.",
        ge=0,
    )
    lead_share: float = setting(
        0.0,
        "What is left of that share to the end: where it is unsure, such a model quotes "
        "rather than invents.",
        ge=0,
        lt=1,
    )
    min_overlap: float = setting(
        0.0,
        "Least share of a summary's ids that must be among the document ids that are read; "
        "other pairs are not trained on, for they teach to write what is not there.",
        ge=0,
        le=1,
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW; Adafactor takes none.", ge=0)
    label_smoothing: float = setting(
        0.0, "Share of the target spread over the vocabulary, in training only.", ge=0, lt=1
    )
    average_decay: float = setting(
        0.0,
        "Decay for a step of the moving average of the weights, which is what is validated and "
        "exported: 0.998 averages about 500 steps, 0 is no average.",
        ge=0,
        lt=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32",
        "Of products in training. bfloat16 is faster on GPUs, where layers compute in it, and "
        "on processors with avx512_bf16 or AMX, where products do; a log line says where a "
        "machine has none. Weights, loss and what is exported are float32.",
    )
    compiled: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether XLA compiles the training step: auto where there is a GPU and one worker. "
        "Each pair of lengths below is compiled when it first comes up, which takes 10 seconds "
        "for a small model and more than a minute for a T5-small on a GPU.",
    )
    compiled_lengths: int = setting(
        2,
        "Lengths that documents, and as many that summaries, are padded to where the step is "
        "compiled.",
        ge=1,
        le=12,
    )
    eval_every_steps: int = setting(
        500,
        "Steps between two validations, each with a checkpoint; the best one's weights are "
        "exported.",
        ge=1,
    )
    validation_examples: int = setting(
        2000, "Held-out pairs that a validation reads at most.", ge=1
    )
    seed: int = setting(20, "Seed of weights, order and dropout.", ge=0)

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                "warmup_steps must be smaller than steps. Received: warmup_steps = "
                f"{self.warmup_steps}, steps = {self.steps}"
            )
        if self.lead_steps >= self.steps:
            raise ValueError(
                "lead_steps must be smaller than steps. Received: lead_steps = "
                f"{self.lead_steps}, steps = {self.steps}"
            )
        if self.compiled == "on" and self.workers > 1:
            raise ValueError(
                "compiled must be 'auto' or 'off' with several workers: XLA does not compile "
                f"what they exchange. Received: compiled = 'on', workers = {self.workers}"
            )
        if self.batch_size % self.workers:
            raise ValueError(
                "batch_size must be a multiple of workers, each of which takes an equal part. "
                f"Received: batch_size = {self.batch_size}, workers = {self.workers}"
            )
        return self

    @classmethod
    def from_config(cls, training: Mapping[str, Any]) -> Self:
        """Settings from a config's ``[training]`` section.

        Raises:
          TrainingSettingsError: a setting is unknown or out of bounds.
        """
        try:
            return TypeAdapter(cls).validate_python(dict(training))
        except ValidationError as error:
            raise TrainingSettingsError(f"cannot train with these settings: {error}") from None
