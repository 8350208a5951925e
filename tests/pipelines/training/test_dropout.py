"""Dropout from bytes: its rate, its mean, its gradient, its seeds."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.training.dropout import ByteDropout, keep_mask, use_byte_dropout


@pytest.mark.parametrize(("rate", "dropped"), [(0.1, 26), (0.5, 128), (1e-4, 1), (0.9999, 255)])
def test_a_rate_in_256ths_keeps_the_mean(rate: float, dropped: int) -> None:
    mask = keep_mask(tf.constant([300, 1001]), rate, [1, 2], tf.float32).numpy()
    share = (mask == 0).mean()
    assert share == pytest.approx(dropped / 256, abs=0.003)
    assert sorted(set(mask.flat)) == pytest.approx([0.0, 256 / (256 - dropped)])
    assert mask.mean() == pytest.approx(1.0, abs=0.02 if dropped < 255 else 0.2)


def test_neighbours_are_dropped_independently() -> None:
    kept = keep_mask(tf.constant([400_000]), 0.5, [3, 4], tf.float32).numpy() > 0
    for apart in (1, 2, 3, 4, 8):
        assert (kept[apart:] & kept[:-apart]).mean() == pytest.approx(0.25, abs=0.004)


def test_a_model_drops_in_training_only_and_the_gradient_with_it() -> None:
    model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dropout(0.25, seed=5)])
    use_byte_dropout(model)
    assert type(model.layers[0]) is ByteDropout
    x = tf.ones([10, 64])
    np.testing.assert_array_equal(model(x, training=False), x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)
    assert 0 < (y.numpy() == 0).mean() < 0.5
    assert (model(x, training=True).numpy() != y.numpy()).any()


def test_each_stream_draws_its_own() -> None:
    def drawn(stream: int) -> np.ndarray:
        layer = keras.layers.Dropout(0.5, seed=5)
        model = keras.Sequential([keras.layers.Input((64,)), layer])
        use_byte_dropout(model, stream)
        return model(tf.ones([4, 64]), training=True).numpy()

    assert (drawn(0) == drawn(0)).all()
    assert (drawn(0) != drawn(1)).any()
