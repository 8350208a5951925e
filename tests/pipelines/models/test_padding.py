"""The encoder's products leave padding out, and what it computes for ids stays the same."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.families import serving_graph
from pipelines.models.padding import WithoutPadding, WithPadding
from tests.pipelines.models.random_models import random_model, small

LENGTHS = [3, 1, 5, 2]
WIDTH = 5


def test_states_without_padding_are_those_of_ids_and_go_back_to_their_rows() -> None:
    layout = WithoutPadding(tf.constant(LENGTHS), tf.constant(WIDTH))
    padded = tf.reshape(tf.range(4 * WIDTH * 2), [4, WIDTH, 2])
    cut = layout.cut(padded)
    own = np.concatenate([padded.numpy()[i, :n] for i, n in enumerate(LENGTHS)])
    assert cut.numpy().tolist() == own.tolist()
    back = layout.padded(cut).numpy()
    assert back.shape == (4, WIDTH, 2)
    for i, n in enumerate(LENGTHS):
        assert back[i, :n].tolist() == padded.numpy()[i, :n].tolist()
        # Padding holds what can be computed with.
        assert back[i, n:].tolist() == [padded.numpy()[i, n - 1].tolist()] * (WIDTH - n)


def test_positions_are_of_each_row() -> None:
    table = tf.Variable(np.arange(20.0, dtype="float32").reshape(10, 2))
    added = WithoutPadding(tf.constant(LENGTHS), tf.constant(WIDTH)).at_positions(table)
    assert added[:, 0].numpy().tolist() == [0, 2, 4, 0, 0, 2, 4, 6, 8, 0, 2]
    assert WithPadding(tf.constant(WIDTH)).at_positions(table).shape == (WIDTH, 2)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_computes_the_same_in_both_layouts(family: str) -> None:
    architecture = small(family)
    graph: Seq2SeqGraph = serving_graph(random_model(architecture), architecture)
    ids = tf.constant(np.random.default_rng(2).integers(3, 64, (4, WIDTH)).astype("int32"))
    length, width = tf.constant(LENGTHS), tf.constant(WIDTH)
    padded = graph.encoded(ids, length, WithPadding(width))
    layout = WithoutPadding(length, width)
    states = graph.encoded(ids, length, layout)
    assert states.shape == (sum(LENGTHS), architecture.d_model)
    np.testing.assert_allclose(states, layout.cut(padded), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_several_rows_are_encoded_without_padding_unless_sizes_are_fixed(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    architecture = small("t5")
    graph: Seq2SeqGraph = serving_graph(random_model(architecture), architecture)
    graph.for_xla = compiled
    seen = []
    encoded = graph.encoded

    def watched(ids: tf.Tensor, length: tf.Tensor, layout: object) -> tf.Tensor:
        seen.append(type(layout))
        return encoded(ids, length, layout)  # type: ignore[arg-type]

    monkeypatch.setattr(graph, "encoded", watched)
    for rows in (1, 4):
        graph.encode(tf.fill([rows, WIDTH], 5), tf.fill([rows], WIDTH))
    assert seen == [WithPadding, WithPadding if compiled else WithoutPadding]
