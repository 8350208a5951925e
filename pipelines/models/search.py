"""What every way of searching a row's output offers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import tensorflow as tf


class Given(NamedTuple):
    """What is known of rows before they are searched.

    Attributes:
      encoded: float32 ``[batch, width, d_model]``, what the encoder returned for them.
      written: int32 ``[batch, decoder_length]``, ids that they are known to write,
      known: int32 ``[batch]``: so many of each row, and at least one less than its limit.
    """

    encoded: tf.Tensor
    written: tf.Tensor
    known: tf.Tensor


class Search(Protocol):
    """A way to find a row's output."""

    def search(
        self,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
        given: Given | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode rows together.

        Args:
          packed: int32 ``[batch, width]``: prefix, ids and EOS of each row, padded.
          length: int32 ``[batch]``, ids of each row of ``packed``.
          limit: int32 ``[batch]``, decoder steps at most, from 1 to ``decoder_length``.
          given: what is known of the rows already.

        Returns:
          int32 ``[batch, decoder_length]``: ids up to and including EOS, padded; and
          bool ``[batch]``: which rows had a decision too close to call.
        """
