"""How an answer in int8 is decided for good: where it reads otherwise, it is searched on."""

from __future__ import annotations

import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.search import Given, Search
from pipelines.models.second_pass import SecondPass, while_it_changes


class SearchedOn:
    """Reads the greedy answer, and searches on from the first id that reads as another.

    The answer is the one that `ReadAgain` finds. Where a reading and a step often disagree, as
    in int8, what stands behind the first such id follows from a wrong one: it is searched anew
    by the row itself, instead of being made right by one id with each reading.
    """

    def __init__(self, reading: SecondPass, search: Search, architecture: Architecture) -> None:
        """Make the pass.

        Args:
          reading: a `Reading`, or one that is compiled.
          search: greedy search, which takes what is known of a row.
          architecture: of the model.
        """
        self._reading = reading
        self._search = search
        self._architecture = architecture

    def decide(
        self,
        written: tf.Tensor,
        packed: tf.Tensor,
        length: tf.Tensor,
        limit: tf.Tensor,
        encoded: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Decide one row; see `SecondPass`. Its encoding must be there."""
        model = self._architecture
        position = tf.range(model.decoder_length)

        def again(written: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            best = self._reading.decide(written, packed, length, limit, encoded)
            differ = tf.cast(best != written, tf.int32)[0]
            # All before the first difference is right, and so is what is read there.
            known = tf.reduce_sum(tf.cast(tf.cumsum(differ) == 0, tf.int32)) + 1
            right = tf.where(position < known, best, model.pad_id)
            ended = tf.reduce_any(right == model.eos_id) | (known >= limit[0])

            def search_on() -> tf.Tensor:
                given = Given(encoded, right, known[tf.newaxis])
                return self._search.search(packed, length, limit, given)[0]

            return tf.cond(ended, lambda: right, search_on), ~ended

        return while_it_changes(again, written, model.decoder_length)
