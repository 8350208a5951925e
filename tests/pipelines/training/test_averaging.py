"""The moving average of the weights, against the sum written out."""

from __future__ import annotations

import pytest
import tensorflow as tf

from pipelines.training.averaging import WeightAverage


def test_it_is_the_sum_written_out() -> None:
    weight = tf.Variable([0.0, 1.0])
    average = WeightAverage([weight], 0.998)
    expected = [0.0, 1.0]
    for step in range(1, 801):
        weight.assign([float(step % 50), 1.0])
        average.stepped(step)
        if step % 8 == 0:
            decay = min(0.998**8, (1 + step // 8) / (10 + step // 8))
            expected[0] = decay * expected[0] + (1 - decay) * (step % 50)
    assert average.variables[0].numpy() == pytest.approx(expected, rel=1e-5)
    assert 20 < average.variables[0].numpy()[0] < 30  # of 0 to 49, each as often


def test_it_is_in_place_for_a_while() -> None:
    weight = tf.Variable([0.0])
    average = WeightAverage([weight], 0.5)
    weight.assign([4.0])
    with pytest.raises(RuntimeError, match="some"), average.in_place():
        assert weight.numpy() == [0.0]
        raise RuntimeError("some error")
    assert weight.numpy() == [4.0]
    assert average.variables[0].numpy() == [0.0]
