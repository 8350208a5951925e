"""Metered models with one fault each, as a mistake in Meter or in a base model would make."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla
from tfx.types.standard_artifacts import Model

from components.meter.graph import MeteredModel
from tests.components.fixture_artifacts import model_artifact_in
from tests.components.fixture_base_model import FixtureBaseModel, base_spec
from tokenizer.base import Tokenizer
from tokenizer.contract import MeteringRecord

FaultyModel = Callable[[Tokenizer], tf.Module]


def save_faulty_model(
    metered: tf.Module, good_model: Model, directory: Path, **record_changes: Any
) -> Model:
    """Save a module's three methods beside what the good model has in `assets.extra`."""
    good = Path(good_model.uri) / "Format-Serving"
    target = directory / "Format-Serving"
    tf.saved_model.save(
        metered,
        str(target),
        signatures={
            name: getattr(metered, name)
            for name in ("serving_default", "summarize", "count_tokens")
        },
    )
    shutil.copytree(good / "assets.extra", target / "assets.extra", dirs_exist_ok=True)
    record = MeteringRecord.load(target)
    dataclasses.replace(record, **record_changes).save(target)
    return model_artifact_in(directory)


class OffByOne(MeteredModel):
    """Charges one token too many for texts that hold a combining mark."""

    def _read(self, text: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        ids, counts = super()._read(text)
        wrong = tf.strings.regex_full_match(text, "(?s).*\u0301.*")
        counts["truncated_tokens"] += tf.cast(wrong, tf.int32)
        return ids, counts


class PaddingIsBilled(MeteredModel):
    """Charges everybody for the longest text of the batch."""

    def _read(self, text: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        ids, counts = super()._read(text)
        longest = tf.reduce_max(tf.concat([[0], counts["input_tokens"]], axis=0))
        counts["input_tokens"] = tf.fill(tf.shape(text), longest)
        return ids, counts


class EosIsBilled(MeteredModel):
    """Counts EOS as a token that was written."""

    def _answer(self, text: tf.Tensor, budget: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = super()._answer(text, budget)
        eos = tf.cast(outputs["finish_reason"] == "stop", tf.int32)
        outputs["output_tokens"] += eos
        outputs["total_tokens"] += eos
        return outputs


class LimitsIgnored(MeteredModel):
    """Takes limits and does not keep them."""

    def _answer(self, text: tf.Tensor, budget: tf.Tensor) -> dict[str, tf.Tensor]:
        return super()._answer(text, tf.zeros_like(budget))


class NegativeLimits(MeteredModel):
    """Takes a negative limit for none."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None], tf.int32, "max_output_tokens"),
        ]
    )
    def summarize(self, text: tf.Tensor, max_output_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._answer(text, tf.maximum(max_output_tokens, 0))


class InvalidSummary(MeteredModel):
    """Hands on bytes that are no character."""

    def _answer(self, text: tf.Tensor, budget: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = super()._answer(text, budget)
        outputs["summary"] = tf.strings.join([outputs["summary"], "\xff".encode("latin-1")])
        return outputs


class FailsOnEmpty(MeteredModel):
    """Fails where one text of the batch is empty."""

    def _read(self, text: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        check = tf.debugging.Assert(tf.reduce_all(tf.strings.length(text) > 0), ["no text"])
        with tf.control_dependencies([check]):
            return super()._read(tf.identity(text))


class CrowdedBase(FixtureBaseModel):
    """Writes other ids in a large batch than in a small one."""

    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        output = super().generate(input_ids, input_length, max_output_tokens)
        is_large = tf.shape(output)[0] >= 8
        return tf.where((output > 3) & is_large, output - 1, output)


class XlaBase(FixtureBaseModel):
    """Decodes with an op that Python runs and a stock server does not."""

    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        output = super().generate(input_ids, input_length, max_output_tokens)
        return xla.dynamic_update_slice(output, output, tf.constant([0, 0]))


class JitBase(FixtureBaseModel):
    """Decodes in a function that is to be compiled."""

    @tf.function(jit_compile=True)
    def _compiled(self, output: tf.Tensor) -> tf.Tensor:
        return output + 0

    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        return self._compiled(super().generate(input_ids, input_length, max_output_tokens))


class PythonBase(FixtureBaseModel):
    """Decodes with a call back into Python."""

    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        output = super().generate(input_ids, input_length, max_output_tokens)
        return tf.ensure_shape(
            tf.numpy_function(lambda value: value, [output], tf.int32), [None, None]
        )


def metered(
    kind: type[MeteredModel], base: type[FixtureBaseModel] = FixtureBaseModel
) -> FaultyModel:
    """A maker of the faulty model."""
    return lambda tokenizer: kind(base(tokenizer), base_spec(tokenizer))
