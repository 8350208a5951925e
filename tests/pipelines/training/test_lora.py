"""LoRA: what moves, what is merged, and that a plain model is left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from pipelines.checkpoints.keras_preset import save_preset
from pipelines.models.families import build_model, serving_graph
from pipelines.training.dataset import BATCH_SIGNATURE
from pipelines.training.loop import train
from pipelines.training.lora import add_lora, merge_lora
from pipelines.training.run import _from_base_model
from pipelines.training.standing import LOGGER
from tests.pipelines.training.tiny_training import (
    VOCABULARY,
    interrupted_at,
    rows_of,
    tiny_architecture,
    tiny_job,
)

RANK = 2
# Queries and values of the encoder's block, and of the decoder's two attentions.
ADAPTED = 6


def inputs() -> dict[str, tf.Tensor]:
    random = np.random.default_rng(4)
    ids = {
        name: tf.constant(random.integers(3, VOCABULARY, (2, 5)), tf.int32)
        for name in BATCH_SIGNATURE
        if name != "labels"
    }
    masks = {name: tf.ones_like(value) for name, value in ids.items() if "mask" in name}
    return ids | masks


def with_lora(family: str, **own: object) -> tuple[keras.Model, list[np.ndarray]]:
    """A model with differences that are not 0, and the weights that it was made from."""
    keras.utils.set_random_seed(6)
    model = build_model(tiny_architecture(family, **own))
    before = model.get_weights()
    add_lora(model, RANK)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    return model, before


@pytest.mark.parametrize(
    ("family", "own"),
    [
        ("t5", {}),
        # Not keras-hub's backbone, but ours.
        pytest.param("t5", {"num_decoder_layers": 2}, marks=pytest.mark.long),
        ("bart", {}),
        ("pegasus", {}),
    ],
)
def test_a_plain_model_is_left_that_computes_the_same(
    family: str, own: dict[str, object], tmp_path: Path
) -> None:
    architecture = tiny_architecture(family, **own)
    model, before = with_lora(family, **own)
    adapted = ADAPTED + 4 * ("num_decoder_layers" in own)
    assert len(model.trainable_variables) == 2 * adapted
    plain = merge_lora(model, architecture)
    assert type(plain) is type(build_model(architecture))
    assert not [each for each in plain.weights if "lora" in each.path]
    np.testing.assert_array_equal(plain(inputs()).numpy(), model(inputs()).numpy())
    changed = 0
    for weight, base in zip(plain.weights, before, strict=True):
        difference = weight.numpy() - base
        if difference.any():
            changed += 1
            assert weight.path.rsplit("/", 1)[-1] == "kernel"
            assert rank_of(difference) <= RANK
    assert changed == adapted
    serving_graph(plain, architecture)


def rank_of(difference: np.ndarray) -> int:
    """Of a kernel's difference; a BART's has an axis for the heads."""
    as_matrix = difference.reshape(-1, difference.shape[-1])
    return int(np.linalg.matrix_rank(as_matrix, tol=1e-5))


def test_the_preset_is_that_of_a_plain_model(tmp_path: Path) -> None:
    architecture = tiny_architecture("bart")
    model, _ = with_lora("bart")
    plain = merge_lora(model, architecture)
    save_preset(plain, architecture, (), tmp_path)
    backbone = keras_hub.models.BartBackbone.from_preset(str(tmp_path))
    for ours, theirs in zip(plain.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.long
def test_the_sum_is_the_base_and_the_product(tmp_path: Path) -> None:
    model, before = with_lora("t5")
    layer = model.backbone.get_layer("transformer_encoder_layer_0").self_attention
    names = [weight.path for weight in build_model(tiny_architecture()).weights]
    (place,) = (
        i for i, name in enumerate(names) if "encoder_layer_0" in name and "value_proj" in name
    )
    a, b = (each.numpy() for each in layer.value_projector.trainable_variables)
    assert a.shape == (8, RANK) and b.shape == (RANK, 8)
    merged = merge_lora(model, tiny_architecture()).weights[place].numpy()
    np.testing.assert_allclose(merged, before[place] + a @ b, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def base() -> list[np.ndarray]:
    """The weights that training starts from."""
    random = np.random.default_rng(9)
    # Not every start gets better in twelve steps, whose first average is that of the eighth.
    keras.utils.set_random_seed(9)
    weights = build_model(tiny_architecture()).get_weights()
    return [weight + random.normal(0, 0.1, weight.shape) for weight in weights]


@pytest.fixture(scope="module")
def load(base: list[np.ndarray]) -> Callable[[keras.Model], None]:
    return lambda model: model.set_weights(base)


LORA: dict[str, Any] = {
    "steps": 12,
    "eval_every_steps": 4,
    "lora_rank": RANK,
    "average_decay": 0.9,
}


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, load: Callable[[keras.Model], None]
) -> tuple[list[np.ndarray], list[float], str]:
    """Weights and losses of a training with LoRA, and what it said."""
    job = tiny_job(tmp_path_factory.mktemp("unbroken"), **LORA)
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Listener()
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        trained = train(job, load)
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(logging.NOTSET)
    assert trained is not None
    return trained[0].get_weights(), [row["val_loss"] for row in rows_of(job)], said[0]


@pytest.mark.long
def test_training_moves_the_low_rank_differences_alone(
    unbroken: tuple[list[np.ndarray], list[float], str], base: list[np.ndarray]
) -> None:
    trained, losses, said = unbroken
    names = [weight.path for weight in build_model(tiny_architecture()).weights]
    moved = [
        name
        for name, weight, before in zip(names, trained, base, strict=True)
        if not np.array_equal(weight, before.astype("float32"))
    ]
    assert len(moved) == ADAPTED
    assert all("query_projector" in name or "value_projector" in name for name in moved)
    for name, weight, before in zip(names, trained, base, strict=True):
        if name in moved:
            assert rank_of(weight - before) <= RANK
    assert min(losses) == losses[-1] < losses[0]
    every = sum(weight.size for weight in base) + ADAPTED * 2 * 8 * RANK
    assert said == (f"LoRA of rank 2 trains 192 of {every:,} parameters ({192 / every:.2%})")


@pytest.mark.long
def test_an_interrupted_one_ends_with_the_same_weights(
    unbroken: tuple[list[np.ndarray], list[float], str],
    load: Callable[[keras.Model], None],
    tmp_path: Path,
) -> None:
    job = tiny_job(tmp_path, **LORA)
    with interrupted_at("validation loss", 2):
        train(job, load)
    trained = train(job, load)
    assert trained is not None
    expected, losses, _ = unbroken
    assert [row["val_loss"] for row in rows_of(job)] == pytest.approx(losses, rel=1e-4)
    for weight, same in zip(trained[0].get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, same, rtol=1e-4, atol=1e-5)


def test_without_a_champion_all_weights_are_trained() -> None:
    config = {"model": {"init_from": "champion"}, "training": {"lora_rank": 4}}
    first = _from_base_model(config, None)
    assert first == {"model": {"init_from": ""}, "training": {"lora_rank": 0}}
    later = _from_base_model(config, "/models/1")
    assert later["model"]["init_from"] == "/models/1"
    assert later["training"]["lora_rank"] == 4
