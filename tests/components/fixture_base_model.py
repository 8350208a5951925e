"""A base model that keeps the base contract truly: real tokenizer, no neural network.

It answers with ids made from the row's own ids by arithmetic, so that every kind of row
occurs: some write EOS at once, some late, some never. Rows stop one by one, and the answer
is as wide as the longest needs, as a real decoder's is.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tokenizer.base import Tokenizer
from tokenizer.contract import BaseModelSpec

MAX_INPUT_TOKENS = 24
MAX_OUTPUT_TOKENS = 9


class FixtureBaseModel(tf.Module):
    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer.graph_tokenizer()
        self._size = tokenizer.vocabulary_size
        self._step = tf.Variable(7, dtype=tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer.tokenize(text)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def generate(
        self, input_ids: tf.Tensor, input_length: tf.Tensor, max_output_tokens: tf.Tensor
    ) -> tf.Tensor:
        real = tf.sequence_mask(input_length, tf.shape(input_ids)[1])
        total = tf.reduce_sum(tf.where(real, input_ids, 0), axis=1)
        # EOS is written at step `stop`; one row in three would need more steps than it has.
        stop = total % (MAX_OUTPUT_TOKENS + MAX_OUTPUT_TOKENS // 2)
        limit = tf.where(
            max_output_tokens > 0,
            tf.minimum(max_output_tokens, MAX_OUTPUT_TOKENS),
            MAX_OUTPUT_TOKENS,
        )
        needed = tf.reduce_max(tf.concat([[0], tf.minimum(stop + 1, limit)], axis=0))
        step = tf.range(needed)[tf.newaxis, :]
        ids = 3 + (total[:, tf.newaxis] + step * self._step) % (self._size - 3)
        ids = tf.where(step == stop[:, tf.newaxis], 1, ids)
        over = (step > stop[:, tf.newaxis]) | (step >= limit[:, tf.newaxis])
        return tf.where(over, 0, ids)

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
    def detokenize(self, output_ids: tf.RaggedTensor) -> tf.Tensor:
        return self._tokenizer.detokenize(output_ids)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = self.tokenize(text)[:, :MAX_INPUT_TOKENS]
        length = tf.cast(ids.row_lengths(), tf.int32)
        output_ids = self.generate(ids.to_tensor(0), length, tf.zeros_like(length))
        written = tf.cumsum(tf.cast(output_ids == 1, tf.int32), axis=1) == 0
        summary = self.detokenize(tf.ragged.boolean_mask(output_ids, written))
        return {"summary": summary, "input_length": length, "output_ids": output_ids}


def base_spec(tokenizer: Tokenizer) -> BaseModelSpec:
    return BaseModelSpec(
        model_family="t5",
        tokenizer_kind=tokenizer.kind,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        max_input_tokens=MAX_INPUT_TOKENS,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        task_prefix="",
    )


def save_base_model(model: tf.Module, tokenizer: Tokenizer, directory: Path) -> None:
    """Export as Exporter does: a SavedModel with `assets.extra/base.json`."""
    tf.saved_model.save(
        model, str(directory), signatures={"serving_default": model.serving_default}
    )
    base_spec(tokenizer).save(directory)
