"""SentencePiece inside a TensorFlow graph. Import only where TensorFlow may be imported."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text


class SentencePieceGraph(tf.Module):
    """A SentencePiece model as TF Text ops, which a stock TensorFlow Serving has.

    The methods are plain Python, to be traced into the caller's own function: Transform's
    `preprocessing_fn` and an exported model each have one.
    """

    def __init__(self, model: bytes):
        """Make the graph tokenizer of a serialised SentencePiece model."""
        super().__init__(name="sentencepiece")
        self._ops = tf_text.SentencepieceTokenizer(model=model, out_type=tf.int32)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Ids of texts, string [batch] → int32 [batch, None]; see `GraphTokenizer`."""
        return self._ops.tokenize(tf.ensure_shape(text, [None]))

    def detokenize(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Texts of ids, int32 [batch, None] → string [batch]; see `GraphTokenizer`."""
        return self._ops.detokenize(tf.cast(ids, tf.int32))
