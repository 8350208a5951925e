"""The ``[training]`` section: how a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


class TrainingSettingsError(ValueError):
    """The settings cannot be used for training. Never worth a retry."""


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """Settings that determine a training run, apart from model and data."""

    steps: int = setting(1000, "Number of optimizer steps in the whole run.", ge=1)
    batch_size: int = setting(16, "Number of examples in one step.", ge=1, le=65_536)
    accumulate_gradients: int = setting(
        1,
        "Number of parts of equal size into which every batch is split; their gradients are "
        "computed one after another and summed before the step. Memory for activations is "
        "that of one part, the result that of the whole batch except for rounding and the "
        "random draws of dropout. Small parts use the processor less well.",
        ge=1,
        le=65_536,
    )
    workers: int = setting(
        1,
        "Number of processes that train together, each with a part of every batch. If "
        "TF_CONFIG is set, this process is a member of that cluster; otherwise all are "
        "started on this machine.",
        ge=1,
        le=1024,
    )
    optimizer: Literal["adafactor", "adamw"] = setting(
        "adafactor",
        "Optimizer. A new T5 has embeddings with standard deviation 1, which AdamW hardly "
        "changes at its usual rates.",
    )
    learning_rate: float = setting(
        0.01, "Peak learning rate, reached at the end of warm-up.", gt=0
    )
    warmup_steps: int = setting(
        100, "Steps over which the learning rate rises linearly from 0.", ge=0
    )
    schedule: Literal["linear", "cosine", "constant", "inverse_sqrt"] = setting(
        "linear",
        "How the learning rate falls after warm-up: 'linear' or 'cosine' to 5 % of the peak at "
        "the last step, 'constant' not at all, 'inverse_sqrt' with the square root of the "
        "step. The last two do not depend on steps, but a rate that is still high at the end "
        "leaves noise in the weights, unless average_decay removes it. Costs no time.",
    )
    gradient_clip_norm: float | None = setting(
        None,
        "Largest global norm of a step's gradient; a larger gradient is scaled down to it. 0: "
        "no clipping. Unset: 1 with adamw, none with adafactor, which bounds its updates "
        "itself. A small value protects against single bad batches and slows training down "
        "if it cuts every step. Costs one more pass over the gradients.",
        ge=0,
    )
    start_copying: bool = setting(
        False,
        "Initialise a new T5 with weights that copy from the document, because a few pairs "
        "alone hardly teach it to copy. A model from a checkpoint needs neither this nor "
        "lead_steps.",
    )
    lora_rank: int = setting(
        0,
        "Rank of LoRA for a model that starts from a checkpoint (model.init_from): the "
        "checkpoint's weights are frozen, and only low-rank differences of the query and value "
        "projections are trained, which are merged into the weights at export. 0: all weights "
        "are trained. Saves the memory of gradients and optimizer for all other weights, and "
        "little time; learns less than training all of them. Use it with adamw: adafactor's "
        "steps are in proportion to a weight's size, and these begin at 0. With init_from = "
        "'champion' it begins once there is a champion.",
        ge=0,
        le=1024,
    )
    lead_steps: int = setting(
        0,
        "Steps over which the share of rows whose labels are the beginning of their "
        "document falls linearly from 1 to lead_share. This teaches a new model to read "
        "and copy.",
        ge=0,
    )
    lead_share: float = setting(
        0.0,
        "The share of such rows that remains until the end: where it is unsure, such a "
        "model quotes rather than invents.",
        ge=0,
        lt=1,
    )
    min_overlap: float = setting(
        0.0,
        "Minimum share of a summary's ids that must be among the document's ids that the "
        "encoder reads. Other pairs are not trained on, because they teach the model to "
        "write what is not in the text.",
        ge=0,
        le=1,
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW; Adafactor has none.", ge=0)
    label_smoothing: float = setting(
        0.0,
        "Share of the target probability that is spread over the vocabulary, in training only.",
        ge=0,
        lt=1,
    )
    average_decay: float = setting(
        0.0,
        "Decay per step of the moving average of the weights, which is validated and "
        "exported: 0.998 averages about 500 steps; 0: no average.",
        ge=0,
        lt=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32",
        "Precision of products in training. bfloat16 is faster on GPUs, where layers compute "
        "in it, and on processors that support it (avx512_bf16, AMX), where matrix products "
        "do; elsewhere it has no effect, and the log says so. Weights, loss and what is "
        "exported are float32.",
    )
    compiled: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether XLA compiles the training step; auto: if there is a GPU and one worker. "
        "Each pair of the lengths below is compiled when it first comes up, which takes 10 "
        "seconds for a small model and more than a minute for a T5-small on a GPU.",
    )
    compiled_lengths: int = setting(
        2,
        "Number of lengths that documents are padded to if the step is compiled; the same for "
        "summaries.",
        ge=1,
        le=12,
    )
    eval_every_steps: int = setting(
        500,
        "Steps between validations, each of which saves a checkpoint; the weights of the "
        "best one are exported.",
        ge=1,
    )
    patience: int = setting(
        0,
        "Training stops after this many validations in a row without a lower validation loss "
        "than before; 0: never before the last step. Saves the steps that no longer help, but "
        "may miss a later gain: schedules that fall to the last step gain most at the end.",
        ge=0,
    )
    validation_examples: int = setting(
        2000, "Maximum number of held-out pairs in a validation.", ge=1
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
        if self.batch_size % (self.workers * self.accumulate_gradients):
            raise ValueError(
                "batch_size must be a multiple of workers * accumulate_gradients, because "
                "each worker splits its rows into parts of equal size. Received: batch_size "
                f"= {self.batch_size}, workers = {self.workers}, accumulate_gradients = "
                f"{self.accumulate_gradients}"
            )
        return self

    @property
    def clip_norm(self) -> float:
        """The largest global norm of a step's gradient; 0 for any."""
        if self.gradient_clip_norm is None:
            return 1.0 if self.optimizer == "adamw" else 0.0
        return self.gradient_clip_norm

    def validates_after(self, step: int) -> bool:
        """Return whether there is a validation after a step, counted from 1."""
        return step % self.eval_every_steps == 0 or step == self.steps

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
