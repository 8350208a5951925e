"""What every way of searching a row's output offers."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf


class Search(Protocol):
    """A way to find a row's output."""

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together.

        Args:
          packed: int32 ``[batch, width]``: prefix, ids and EOS of each row, padded.
          length: int32 ``[batch]``, ids of each row of ``packed``.
          limit: int32 ``[batch]``, decoder steps at most, from 1 to ``decoder_length``.

        Returns:
          int32 ``[batch, decoder_length]``: ids up to and including EOS, padded; and
          bool ``[batch]``: which rows had a decision too close to call.
        """
