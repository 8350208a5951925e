"""A search of rows in a few shapes alone, which are known before the first request."""

from __future__ import annotations

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.search import Search
from pipelines.models.shapes import CompiledShapes, smallest_of, with_rows, with_width


class CompiledSearch:
    """Compiles a search with XLA as a whole."""

    def __init__(self, search: Search) -> None:
        self._compiled = tf.function(search.search, jit_compile=True, autograph=False)

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        found: tuple[tf.Tensor, tf.Tensor] = self._compiled(packed, length, limit)
        return found


class FewOrMany:
    """One search for few rows, and another for more."""

    def __init__(self, few: Search, many: Search, few_rows: int) -> None:
        self._few, self._many, self._few_rows = few, many, few_rows

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        found: tuple[tf.Tensor, tf.Tensor] = tf.cond(
            tf.shape(packed)[0] <= self._few_rows,
            lambda: self._few.search(packed, length, limit),
            lambda: self._many.search(packed, length, limit),
        )
        return found


class SearchInShapes:
    """For what XLA compiles, which takes seconds for each number of rows and each width.

    A batch is padded to the next of a few of each; padding changes no answer and is cut off
    again. More rows than the largest number are decoded in turns.
    """

    def __init__(
        self, search: Search, architecture: Architecture, shapes: CompiledShapes
    ) -> None:
        self._search = search
        self._architecture = architecture
        self._shapes = shapes

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together; see `Search`."""
        model = self._architecture
        batch = tf.shape(packed)[0]
        width = smallest_of(self._shapes.widths, tf.shape(packed)[1])
        packed = with_width(packed, width, model.pad_id)
        rows = smallest_of(self._shapes.rows, batch)
        turns = -(-batch // rows)
        packed, length, limit = with_rows(packed, length, limit, turns * rows, model.pad_id)

        def turn(
            i: tf.Tensor, output: tf.Tensor, doubtful: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            here = slice(i * rows, (i + 1) * rows)
            written, doubt = self._search.search(packed[here], length[here], limit[here])
            return i + 1, tf.concat([output, written], 0), tf.concat([doubtful, doubt], 0)

        _, output, doubtful = tf.while_loop(
            lambda i, *_: i < turns,
            turn,
            (
                tf.constant(0),
                tf.zeros([0, model.decoder_length], tf.int32),
                tf.zeros([0], tf.bool),
            ),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, model.decoder_length]),
                tf.TensorShape([None]),
            ),
            parallel_iterations=1,
        )
        return output[:batch], doubtful[:batch]
