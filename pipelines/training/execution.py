"""How the steps of a training are run on the devices that are at hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import keras
import tensorflow as tf

from pipelines.training.precision import bfloat16_products, processor_has_bfloat16
from pipelines.training.settings import TrainingSettings

_LOG = logging.getLogger(__name__)

_MIXED: Final = "mixed_bfloat16"


@dataclass(frozen=True)
class Execution:
    """What the settings come to on this machine.

    Attributes:
      compiled: XLA compiles the step, for each of a few lengths.
      mixed: layers compute in bfloat16, by Keras' policy; weights stay float32.
      rewritten: TensorFlow rewrites products to oneDNN's of bfloat16.
    """

    compiled: bool
    mixed: bool
    rewritten: bool

    @classmethod
    def of(cls, settings: TrainingSettings) -> Self:
        """The execution on this machine: the steps of one process on a GPU are compiled."""
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        compiled = settings.compiled == "on" or (
            settings.compiled == "auto" and has_gpu and settings.workers == 1
        )
        bfloat16 = settings.precision == "bfloat16"
        # oneDNN's products are not XLA's, and a GPU has none.
        mixed = bfloat16 and (has_gpu or compiled)
        if bfloat16 and not mixed and not processor_has_bfloat16():
            _LOG.warning(
                "training.precision is bfloat16, but this processor has no bfloat16 products "
                "(avx512_bf16, AMX) and there is no GPU: training computes in float32."
            )
        return cls(compiled, mixed, bfloat16 and not mixed)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Inside, models are built for it."""
        before = keras.config.dtype_policy()
        if self.mixed:
            keras.config.set_dtype_policy(_MIXED)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, steps and validations that are called are run by it."""
        with bfloat16_products(self.rewritten):
            yield


PLAIN: Final = Execution(compiled=False, mixed=False, rewritten=False)
"""Float32, nothing compiled: how a model is built that is not trained any more."""
