"""The padding of a batch: what an encoder computes with it, and what it leaves out."""

from __future__ import annotations

import abc

import tensorflow as tf


class Layout(abc.ABC):
    """How an encoder has the states of a batch, whose rows are padded to one width.

    Only attention needs the padding, so that rows are rows; products and norms cost as much
    for it as for ids.
    """

    @abc.abstractmethod
    def cut(self, padded: tf.Tensor) -> tf.Tensor:
        """Return ``[batch, width, ...]`` in this layout, ``[..., *more]``."""

    @abc.abstractmethod
    def padded(self, states: tf.Tensor) -> tf.Tensor:
        """Return ``[batch, width, n]`` of states in this layout; what is padding means
        nothing."""

    @abc.abstractmethod
    def at_positions(self, table: tf.Variable) -> tf.Tensor:
        """Return the rows of a table ``[positions, n]`` to be added to states."""


class WithPadding(Layout):
    """``[batch, width, n]``: sizes that XLA knows, and no op more."""

    def __init__(self, width: tf.Tensor) -> None:
        """Make it for rows of a width, int32 scalar."""
        self._width = width

    def cut(self, padded: tf.Tensor) -> tf.Tensor:
        return padded

    def padded(self, states: tf.Tensor) -> tf.Tensor:
        return states

    def at_positions(self, table: tf.Variable) -> tf.Tensor:
        return table[: self._width]


class WithoutPadding(Layout):
    """``[ids, n]``: the ids of all rows, one row's after the other's."""

    def __init__(self, length: tf.Tensor, width: tf.Tensor) -> None:
        """Make it for rows of so many ids, int32 ``[batch]``, each at least 1, in a width."""
        self._width = width
        mask = tf.sequence_mask(length, width)
        self._own = tf.cast(tf.where(tf.reshape(mask, [-1]))[:, 0], tf.int32)
        # What stands in the padding is a row's last id.
        place = tf.minimum(tf.range(width), length[:, tf.newaxis] - 1)
        self._place = tf.cumsum(length, exclusive=True)[:, tf.newaxis] + place

    def cut(self, padded: tf.Tensor) -> tf.Tensor:
        flat = tf.concat([[-1], tf.shape(padded)[2:]], axis=0)
        found = tf.gather(tf.reshape(padded, flat), self._own)
        return tf.ensure_shape(found, [None, *padded.shape[2:]])

    def padded(self, states: tf.Tensor) -> tf.Tensor:
        return tf.gather(states, self._place)

    def at_positions(self, table: tf.Variable) -> tf.Tensor:
        return tf.gather(tf.identity(table), self._own % self._width)
