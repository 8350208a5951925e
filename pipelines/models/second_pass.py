"""How a row with a decision that was too close to call is decided for good.

What decides must not depend on the request, so it sees one row alone, in shapes that follow
from that row's own length. Greedy answers are read again: one pass over all their positions at
once says which id the model would write at each, and an answer that says the same is the row's
own. A pass takes about as long as a step or two of decoding, where decoding the row again takes
all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Memory, Seq2SeqGraph
from pipelines.models.greedy_search import two_best
from pipelines.models.next_id_rules import NextIdRules, Written
from pipelines.models.search import Search
from pipelines.models.shapes import smallest_of, with_width


class SecondPass(Protocol):
    """A way to decide a row for good."""

    def decide(
        self,
        written: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tf.Tensor:
        """Decide one row.

        Args:
          written: int32 ``[1, decoder_length]``, what a search returned for
          packed, length, limit: this row, which is not padded; see `Search`.

        Returns:
          The row as it is decided for good, like ``written``.
        """


class SecondSearch:
    """Decodes the row again by itself."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def decide(
        self,
        written: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tf.Tensor:
        """Decide one row; see `SecondPass`."""
        del written
        alone, _ = self._search.search(packed, length, limit)
        return alone


class ReadAgain:
    """Reads the greedy answer again until it says what it is.

    Each position's id follows from those before it. So the first id is right after one reading,
    and each further one makes at least one more right. Nearly always the first one confirms all
    of them.
    """

    def __init__(self, graph: Seq2SeqGraph, architecture: Architecture) -> None:
        self._graph = graph
        self._architecture = architecture
        self._rules = NextIdRules(architecture)

    def decide(
        self,
        written: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tf.Tensor:
        """Decide one row; see `SecondPass`."""
        steps = self._architecture.decoder_length
        memory = self._graph.encode(packed, length)

        def again(
            written: tf.Tensor, changed: tf.Tensor, readings: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            del changed
            best = tf.ensure_shape(self._read(written, memory, limit), [1, steps])
            return best, tf.reduce_any(best != written), readings + 1

        written, *_ = tf.while_loop(
            lambda _, changed, readings: changed & (readings < steps),
            again,
            (tf.ensure_shape(written, [1, steps]), tf.constant(True), tf.constant(0)),
            parallel_iterations=1,
        )
        return written

    def _read(self, written: tf.Tensor, memory: Memory, limit: tf.Tensor) -> tf.Tensor:
        """What the model writes at each position, after what a row has written before it."""
        start = tf.constant([[self._architecture.decoder_start_id]])
        ids = tf.concat([start, written], axis=1)
        logits = self._graph.read(ids[:, :-1], memory)
        return self._ended(self._best(logits, ids), limit)

    def _best(self, logits: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """The id that is written at each position, int32 ``[positions]``."""
        positions = tf.range(self._architecture.decoder_length)
        # Rules see what a search has written by then, and nothing behind it.
        by_then = tf.range(self._architecture.decoder_length + 1) <= positions[:, tf.newaxis]
        written = Written(tf.where(by_then, ids, self._architecture.pad_id), positions)
        _, _, best = two_best(self._rules.apply(logits, written))
        return tf.ensure_shape(best, [self._architecture.decoder_length])

    def _ended(self, best: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
        """A row ``[1, positions]`` that is padded behind its EOS and its limit."""
        position = tf.range(best.shape[0])
        is_eos = tf.cast(best == self._architecture.eos_id, tf.int32)
        over = tf.cumsum(is_eos, exclusive=True) > 0
        over |= position >= limit[0]
        return tf.where(over, self._architecture.pad_id, best)[tf.newaxis]


class CompiledSecondPass:
    """Compiles a second pass with XLA, for a few widths."""

    def __init__(
        self, second_pass: SecondPass, architecture: Architecture, widths: Sequence[int]
    ) -> None:
        """Make the pass.

        Args:
          second_pass: to compile.
          architecture: of the model.
          widths: that a row is padded to the next of, rising; the last is the longest row's.
        """
        self._compiled = tf.function(second_pass.decide, jit_compile=True, autograph=False)
        self._architecture = architecture
        self._widths = widths

    def decide(
        self,
        written: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
    ) -> tf.Tensor:
        """Decide one row; see `SecondPass`."""
        model = self._architecture
        width = smallest_of(self._widths, tf.shape(packed)[1])
        packed = with_width(packed, width, model.pad_id)
        return self._compiled(
            tf.ensure_shape(written, [1, model.decoder_length]),
            tf.ensure_shape(packed, [1, None]),
            length,
            limit,
        )


def decide_doubtful(
    second_pass: SecondPass,
    architecture: Architecture,
    output: tf.Tensor,
    doubtful: tf.Tensor,
    rows: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
) -> tf.Tensor:
    """Replace the output of each doubtful row by what decides it for good.

    Args:
      second_pass: decides.
      architecture: of the model.
      output, doubtful: what a search returned for
      rows: its arguments.

    Returns:
      ``output`` with those rows decided.
    """
    packed, length, limit = rows
    again = tf.cast(tf.where(doubtful)[:, 0], tf.int32)

    def decide(i: tf.Tensor, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        row = again[i]
        own = length[row]
        decided = second_pass.decide(
            output[row][tf.newaxis],
            packed[row, :own][tf.newaxis],
            own[tf.newaxis],
            limit[row][tf.newaxis],
        )
        return i + 1, tf.tensor_scatter_nd_update(output, [[row]], decided)

    _, output = tf.while_loop(
        lambda i, _: i < tf.size(again),
        decide,
        (tf.constant(0), output),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, architecture.decoder_length]),
        ),
        parallel_iterations=1,
    )
    return output
