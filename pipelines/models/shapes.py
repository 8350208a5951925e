"""The few shapes that rows are decoded in where a shape must not depend on the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import tensorflow as tf

from pipelines.models.architecture import Architecture

_NARROWEST: Final = 64  # ids; what is narrower costs hardly less


def width_buckets(longest: int, wanted: Sequence[int] = ()) -> tuple[int, ...]:
    """Widths that rows of ids are padded to, rising; the last is ``longest``.

    Args:
      longest: ids of the longest row there can be.
      wanted: the widths; none for 64 and its doubles.
    """
    widths = list(wanted)
    if not widths:
        widths = [_NARROWEST]
        while widths[-1] < longest:
            widths.append(2 * widths[-1])
    return (*(width for width in widths if width < longest), longest)


@dataclass(frozen=True)
class CompiledShapes:
    """What a model is compiled for: each number of rows with each width.

    Attributes:
      rows: numbers of rows, rising. More rows than the last are decoded in turns of so many.
      widths: ids of a row, prefix and EOS included, rising; the last is the longest there is.
    """

    rows: tuple[int, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(
        cls, architecture: Architecture, rows: Sequence[int], widths: Sequence[int] = ()
    ) -> Self:
        """The shapes that settings ask for; see `width_buckets`."""
        return cls(tuple(rows), width_buckets(architecture.encoder_length, widths))

    def to_json(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "widths": list(self.widths)}


def smallest_of(buckets: Sequence[int], size: tf.Tensor) -> tf.Tensor:
    """The first of the rising buckets that is not below an int32 scalar, or the last."""
    place = tf.reduce_sum(tf.cast(tf.constant(buckets) < size, tf.int32))
    return tf.gather(tf.constant(buckets), tf.minimum(place, len(buckets) - 1))


def with_width(ids: tf.Tensor, width: tf.Tensor, pad_id: int) -> tf.Tensor:
    """Rows of ids cut off at a width, or padded to it; ``[batch, width]``."""
    missing = tf.maximum(width - tf.shape(ids)[1], 0)
    return tf.pad(ids[:, :width], [[0, 0], [0, missing]], constant_values=pad_id)


def with_rows(
    packed: tf.Tensor, length: tf.Tensor, limit: tf.Tensor, rows: tf.Tensor | int, pad_id: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """A search's arguments with rows added, each of which ends at its first step."""
    missing = rows - tf.shape(packed)[0]
    return (
        tf.pad(packed, [[0, missing], [0, 0]], constant_values=pad_id),
        tf.pad(length, [[0, missing]], constant_values=1),
        tf.pad(limit, [[0, missing]], constant_values=1),
    )
