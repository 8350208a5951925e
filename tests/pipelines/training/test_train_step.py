"""A step whose batch is computed in parts, against one that is computed at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.training.dataset import BATCH_SIGNATURE
from pipelines.training.dropout import use_byte_dropout
from pipelines.training.optimization import build_optimizer
from pipelines.training.settings import TrainingSettings, TrainingSettingsError
from pipelines.training.train_step import make_train_step

VOCABULARY = 24


class Bigrams(keras.Model):
    """Logits of the next id from the one before, and of what the encoder read on average."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(VOCABULARY, 8)
        self.drop = keras.layers.Dropout(dropout, seed=5)
        self.head = keras.layers.Dense(VOCABULARY)

    def call(self, inputs: dict[str, tf.Tensor], training: bool = False) -> Any:
        mask = tf.cast(inputs["encoder_padding_mask"], tf.float32)[:, :, tf.newaxis]
        read = tf.reduce_sum(mask * self.embedding(inputs["encoder_token_ids"]), axis=1)
        states = self.embedding(inputs["decoder_token_ids"]) + read[:, tf.newaxis]
        return self.head(self.drop(states, training=training))


def batch_of(rows: int, seed: int) -> dict[str, tf.Tensor]:
    """Rows with 1 to 6 labels: parts of it differ in how many they hold."""
    random = np.random.default_rng(seed)
    ids = {name: random.integers(3, VOCABULARY, (rows, 6)) for name in BATCH_SIGNATURE}
    lengths = random.integers(1, 7, (2, rows, 1))
    for name, length in zip(("encoder", "decoder"), lengths, strict=True):
        ids[f"{name}_padding_mask"] = (np.arange(6) < length).astype("int64")
    return {name: tf.constant(value, tf.int32) for name, value in ids.items()}


def steps_in_parts(
    parts: int, **training: object
) -> tuple[list[list[float]], list[np.ndarray], int]:
    """Losses of three steps, weights after them, and how often the step was traced."""
    settings = TrainingSettings.from_config(
        {
            "batch_size": 12,
            "warmup_steps": 0,
            "learning_rate": 0.01,
            "accumulate_gradients": parts,
            **training,
        }
    )
    keras.utils.set_random_seed(3)
    model = Bigrams()
    model(batch_of(1, 1))
    optimizer = build_optimizer(settings)
    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, settings)
    losses = [[float(each) for each in step(batch_of(12, seed))] for seed in (1, 2, 3)]
    assert int(optimizer.iterations.numpy()) == 3
    return losses, model.get_weights(), step.experimental_get_tracing_count()


@pytest.mark.parametrize("parts", [2, 5, 12])  # 5 is none that settings allow: parts differ
@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "adafactor"},
        # A norm that cuts: the sum is what is clipped, not the parts.
        {"optimizer": "adamw", "gradient_clip_norm": 0.1, "label_smoothing": 0.1},
    ],
)
def test_parts_of_a_batch_make_the_step_of_the_whole(
    parts: int, training: dict[str, object]
) -> None:
    size = 60 if parts == 5 else 12
    losses, weights, _ = steps_in_parts(1, **training)
    own_losses, own_weights, traces = steps_in_parts(parts, batch_size=size, **training)
    np.testing.assert_allclose(own_losses, losses, rtol=1e-5)
    for own, expected in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)
    assert traces == 1


def test_every_part_draws_its_own_dropout() -> None:
    """Of a row that is repeated, each part drops something else."""

    def nats_of(parts: int, rows: int) -> float:
        settings = TrainingSettings.from_config(
            {"batch_size": parts, "accumulate_gradients": parts}
        )
        keras.utils.set_random_seed(3)
        model = Bigrams(dropout=0.5)
        row = batch_of(1, 1)
        model(row)
        use_byte_dropout(model)
        equal = {name: tf.repeat(value, rows, axis=0) for name, value in row.items()}
        optimizer = keras.optimizers.SGD(0.0)
        nats, _ = make_train_step(model, optimizer, settings)(equal)
        assert int(model.drop.seed_generator.state.numpy()[1]) == parts
        return float(nats)

    assert nats_of(4, 4) != pytest.approx(4 * nats_of(1, 1), rel=1e-6)


def test_parts_must_be_of_equal_size() -> None:
    with pytest.raises(
        TrainingSettingsError,
        match=r"multiple of workers \* accumulate_gradients.*16, workers = 2, .* = 3",
    ):
        TrainingSettings.from_config(
            {"batch_size": 16, "workers": 2, "accumulate_gradients": 3}
        )
