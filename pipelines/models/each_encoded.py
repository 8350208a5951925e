"""The encoder run for each row by itself."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.shapes import smallest_of, with_width


class EachEncoded:
    """Encodes each row of a batch alone, compiled by XLA, in a width that follows from it.

    Where every row is decided for good by itself, its encoding must not depend on the request.
    Made so at once, it serves the search of the whole batch as well, and no row is encoded
    twice.
    """

    def __init__(
        self, graph: Seq2SeqGraph, architecture: Architecture, widths: Sequence[int]
    ) -> None:
        """Make it.

        Args:
          graph: the model's.
          architecture: of the model.
          widths: that a row is padded to the next of, rising; the last is the longest row's.
        """
        self._compiled = tf.function(graph.encoded, jit_compile=True, autograph=False)
        self._architecture = architecture
        self._widths = widths

    def encoded(self, packed: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Encode rows.

        Args:
          packed, length: see `Search`.

        Returns:
          float32 ``[batch, width, d_model]``, where ``width`` is the next to that of
          ``packed``; zeros past the next width to a row's own.
        """
        model = self._architecture
        batch = tf.shape(packed)[0]
        width = smallest_of(self._widths, tf.shape(packed)[1])

        def one(i: tf.Tensor, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own = length[i]
            row = with_width(
                packed[i, :own][tf.newaxis], smallest_of(self._widths, own), model.pad_id
            )
            found = self._compiled(tf.ensure_shape(row, [1, None]), own[tf.newaxis])
            found = tf.pad(found, [[0, 0], [0, width - tf.shape(found)[1]], [0, 0]])
            return i + 1, tf.tensor_scatter_nd_update(output, [[i]], found)

        _, output = tf.while_loop(
            lambda i, _: i < batch,
            one,
            (tf.constant(0), tf.zeros(tf.stack([batch, width, model.d_model]))),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, None, model.d_model]),
            ),
            parallel_iterations=1,
        )
        return output
