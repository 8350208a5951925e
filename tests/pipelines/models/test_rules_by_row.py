"""Rules of rows that are at different positions are those of each row at its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.next_id_rules import NextIdRules, Written

LIMIT, VOCABULARY = 9, 24


@pytest.mark.parametrize(
    "rules",
    [
        {"no_repeat_ngram_size": 2},
        {"banned_ids": ((5,), (6, 7), (6, 7, 8))},
        {"min_output_tokens": 4, "repetition_penalty": 1.3},
        {"forced_bos_id": 3, "force_eos": True},
    ],
    ids=str,
)
def test_each_row_has_a_position_of_its_own(rules: dict[str, Any]) -> None:
    architecture = Architecture(
        family="bart",
        vocabulary_size=VOCABULARY,
        d_model=8,
        num_layers=1,
        num_heads=1,
        d_ff=8,
        max_input_tokens=8,
        max_output_tokens=LIMIT,
        **rules,
    )
    apply = NextIdRules(architecture).apply
    steps = architecture.decoder_length
    random = np.random.default_rng(0)
    ids = random.integers(5, 9, [steps, steps + 1])
    for position in range(steps):
        ids[position, position + 1 :] = architecture.pad_id
    scores = tf.constant(random.normal(size=[steps, VOCABULARY]), tf.float32)
    written = tf.constant(ids, tf.int32)
    together = apply(scores, Written(written, tf.range(steps)))
    assert not np.array_equal(together, scores)
    for position in range(steps):
        row = slice(position, position + 1)
        alone = apply(scores[row], Written(written[row], tf.constant(position)))
        np.testing.assert_array_equal(together[row], alone)
