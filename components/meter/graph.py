"""The metering module, which combines a base model's functions so that they count.

It does not depend on SentencePiece, BPE, T5 or BART: a base model offers the three functions of
`tokenizer.contract.BaseModelSpec`, and this module adds the counting contract to them.
"""

from __future__ import annotations

from typing import Any, Final

import tensorflow as tf

from tokenizer import contract
from tokenizer.contract import BaseModelSpec
from tokenizer.output_ids import count_output_ids, ids_with_text

_TEXT: Final = tf.TensorSpec([None], tf.string, name=contract.INPUT_TEXT)
_BUDGET: Final = tf.TensorSpec([None], tf.int32, name=contract.INPUT_MAX_OUTPUT_TOKENS)


class MeteredModel(tf.Module):
    """A base model whose every output includes its counts.

    Call arguments: `text`, string [batch], any bytes; `max_output_tokens`, int32 [batch], a
    limit for each row, 0 for only the model's own; below 0 the row's summary is empty.

    Masking: a row's counts and summary depend on that row alone. The encoder gets
    `input_length` beside the padded ids; of the decoder's ids only those before the row's first
    EOS and within its limit are used.

    Whatever the base model does, a row is never charged beyond its limit, for padding, or for
    ids after an EOS.
    """

    def __init__(self, base: Any, spec: BaseModelSpec):
        """Wrap a base model.

        Args:
          base: a restored SavedModel with the functions `tokenize`, `generate` and
            `detokenize`; it becomes part of this module.
          spec: the model's own description.
        """
        super().__init__(name="metered_model")
        self.base = base
        self._spec = spec

    @tf.function(input_signature=[_TEXT])
    def serving_default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the contract's six outputs, each [batch], with the model's own limit."""
        return self._answer(text, tf.zeros(tf.shape(text), tf.int32))

    @tf.function(input_signature=[_TEXT, _BUDGET])
    def summarize(self, text: tf.Tensor, max_output_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the six outputs, each [batch], with a limit for each row.

        Whatever a limit is, it applies to its own row: a server that merges requests into
        batches would fail all of a batch's requests for one of them. Only a request that does
        not have one limit for each text fails, with `INVALID_ARGUMENT`; servers refuse to merge
        such a request.
        """
        one_each = tf.debugging.Assert(
            tf.reduce_all(tf.shape(max_output_tokens) == tf.shape(text)),
            [
                "max_output_tokens must hold one limit for each text. Limits, texts:",
                tf.size(max_output_tokens),
                tf.size(text),
            ],
        )
        with tf.control_dependencies([one_each]):
            return self._answer(text, tf.identity(max_output_tokens))

    @tf.function(input_signature=[_TEXT])
    def count_tokens(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `input_tokens` and `truncated_tokens`, each [batch], without running the
        model."""
        _, counts = self._read(text)
        return counts

    def _read(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, dict[str, tf.Tensor]]:
        """The ids that the encoder is given, and how many there are and are not."""
        ids = self.base.tokenize(text)
        all_tokens = tf.cast(ids.row_lengths(), tf.int32)
        input_tokens = tf.minimum(all_tokens, self._spec.max_input_tokens)
        return ids[:, : self._spec.max_input_tokens], {
            contract.INPUT_TOKENS: tf.ensure_shape(input_tokens, [None]),
            contract.TRUNCATED_TOKENS: tf.ensure_shape(all_tokens - input_tokens, [None]),
        }

    def _answer(self, text: tf.Tensor, budget: tf.Tensor) -> dict[str, tf.Tensor]:
        input_ids, counts = self._read(text)
        input_tokens = counts[contract.INPUT_TOKENS]
        most = self._spec.max_output_tokens
        # To a base model, 0 and less is no limit: a row that may write nothing gets one step,
        # of which nothing counts.
        writes = budget >= 0
        output_ids = self.base.generate(
            input_ids.to_tensor(self._spec.pad_id), input_tokens, tf.where(writes, budget, 1)
        )
        limit = tf.where(budget > 0, tf.minimum(budget, most), tf.where(writes, most, 0))
        counted, stopped = count_output_ids(output_ids, limit, self._spec)
        output_tokens = tf.reduce_sum(tf.cast(counted, tf.int32), axis=1)
        summary = self.base.detokenize(ids_with_text(output_ids, counted, self._spec))
        return {
            contract.SUMMARY: tf.ensure_shape(valid_utf8(summary), [None]),
            contract.INPUT_TOKENS: input_tokens,
            contract.OUTPUT_TOKENS: tf.ensure_shape(output_tokens, [None]),
            contract.TOTAL_TOKENS: input_tokens + output_tokens,
            contract.TRUNCATED_TOKENS: counts[contract.TRUNCATED_TOKENS],
            contract.FINISH_REASON: tf.where(
                stopped, contract.FINISH_STOP, contract.FINISH_LENGTH
            ),
        }


def valid_utf8(text: tf.Tensor) -> tf.Tensor:
    """Replace what is not UTF-8 by U+FFFD; valid text is left as it is.

    Args:
      text: string, any shape; the result has the same.
    """
    return tf.strings.unicode_transcode(
        text, input_encoding="UTF-8", output_encoding="UTF-8", errors="replace"
    )
