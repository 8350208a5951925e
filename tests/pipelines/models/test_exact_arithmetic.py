"""What is computed for int8 has the same bits wherever it is, and is near float32's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from pipelines.models.architecture import ACTIVATIONS, ArchitectureError
from pipelines.models.arithmetic import FloatArithmetic
from pipelines.models.attention import MASKED, padding_bias
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.exact_arithmetic import ExactArithmetic, exp_of_negative, settled
from pipelines.models.families import serving_graph
from pipelines.models.kernels import INT8
from tests.pipelines.models.random_models import random_model, random_rows, small

Floats = npt.NDArray[np.float32]

HEAD, LENGTH = 64, 45
EXACT = ExactArithmetic(HEAD, LENGTH)
PLAIN = FloatArithmetic()


def some(*shape: int, seed: int = 0) -> Floats:
    """Numbers of very different size, as states of a model are."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(0, 1, shape[-1]))
    return (random.normal(0, 1, shape) * sizes).astype("float32")


def compiled(function: Callable[..., tf.Tensor], *arguments: Any) -> Floats:
    """What XLA makes of it, with whatever it fuses."""
    values: Floats = tf.function(function, jit_compile=True, autograph=False)(
        *map(tf.constant, arguments)
    ).numpy()
    return values


def attended(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return EXACT.attend(query, EXACT.stored(key), EXACT.stored(value), bias)


def weights(n: int) -> tuple[Floats, Floats]:
    return some(n, seed=1), some(n, seed=2)


ROW_WISE: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "rms_norm": lambda x: EXACT.rms_norm(x, 1e-6),
    "layer_norm": lambda x: EXACT.layer_norm(x, *weights(x.shape[-1]), 1e-5),
    **{name: EXACT.activation(name) for name in ACTIVATIONS},
    "exp": lambda x: exp_of_negative(tf.abs(x)),
    "stored": lambda x: EXACT.stored(x[:, :HEAD]),
}


@pytest.mark.parametrize("name", list(ROW_WISE))
def test_a_row_has_the_same_bits_wherever_it_is_computed(name: str) -> None:
    function = ROW_WISE[name]
    rows = some(37, 200)
    together = compiled(function, rows)
    assert np.array_equal(function(tf.constant(rows)).numpy(), together)
    for i in (0, 17, 36):
        assert np.array_equal(compiled(function, rows[i : i + 1])[0], together[i])
    # In a program that goes on with it, as kernels do
    inside = compiled(lambda x: tf.round(function(x * 3.0) * 0.7), rows)
    apart = compiled(function, np.float32(3.0) * rows)
    assert np.array_equal(inside, np.rint(apart * np.float32(0.7)))


def test_attention_has_the_same_bits_wherever_it_is_computed() -> None:
    query, key, value = (some(6, 8, LENGTH, HEAD, seed=i) for i in range(3))
    length = np.array([1, 7, 20, 31, 44, 45], "int32")
    bias = padding_bias(tf.constant(length), LENGTH).numpy() + some(1, 8, LENGTH, LENGTH)
    together = compiled(attended, query, key, value, bias)
    assert np.array_equal(attended(query, key, value, bias).numpy(), together)
    for i, own in list(enumerate(length))[::2]:
        part = np.s_[i : i + 1, :, :own]
        alone = compiled(attended, query[part], key[part], value[part], bias[part][..., :own])
        assert np.array_equal(alone[0], together[i, :, :own])
        # One query at a time, as steps have it, beside what is hidden: it may be anything.
        key[i, :, own:], value[i, :, own:] = 1e3, -1e6
        last = np.s_[i, :, own - 1 : own]
        one = compiled(attended, query[last], key[i], value[i], bias[last])
        assert np.array_equal(one[:, 0], together[i, :, own - 1])


def test_a_product_is_rounded_before_it_is_added_to_anything() -> None:
    a, b, c = (some(4, 1000, seed=i) for i in range(3))
    expected = (a * b).view("int32") & -2
    added = compiled(lambda a, b, c: settled(a * b) + c, a, b, c)
    assert np.array_equal(added, expected.view("float32") + c)


@pytest.mark.parametrize("sharp", [0.1, 1.0])
def test_attention_is_near_float32(sharp: float) -> None:
    query, key, value = (some(2, 4, LENGTH, HEAD, seed=i) for i in range(3))
    query *= np.float32(sharp / 30)
    bias = np.where(np.arange(LENGTH) < 40, 0.0, MASKED).astype("float32")[None, None, None]
    expected = PLAIN.attend(query, key, value, bias).numpy()
    found = attended(query, key, value, bias).numpy()
    size = np.abs(value).max(axis=-1).max()
    assert np.abs(found - expected).max() < 5e-3 * size


def test_norms_and_activations_are_near_float32() -> None:
    x = some(50, 512)
    for exact, plain in (
        (EXACT.rms_norm(x, 1e-6), PLAIN.rms_norm(x, 1e-6)),
        (EXACT.layer_norm(x, *weights(512), 1e-5), PLAIN.layer_norm(x, *weights(512), 1e-5)),
    ):
        np.testing.assert_allclose(exact, plain, rtol=1e-3, atol=1e-3)
    wide = np.linspace(-12, 12, 4001, dtype="float32")
    for name in ACTIVATIONS:
        exact, plain = EXACT.activation(name)(wide), PLAIN.activation(name)(wide)
        np.testing.assert_allclose(exact, plain, atol=5e-4, err_msg=name)
    found = exp_of_negative(tf.abs(wide)).numpy() * 2.0**-18
    np.testing.assert_allclose(found, np.exp(-np.abs(wide)), rtol=2e-4, atol=2**-17)


@pytest.mark.parametrize("value", [0.0, 1e15, -1e15, 1e-38])
def test_states_of_any_size_are_computed(value: float) -> None:
    rows = np.full([2, 512], value, "float32")
    for name in ("rms_norm", "stored", *ACTIVATIONS):
        assert np.isfinite(ROW_WISE[name](tf.constant(rows))).all(), name


def test_a_row_that_is_too_long_for_exact_sums_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"at most 8191 ids.*Received: 8192"):
        ExactArithmetic(64, 8192)
    ExactArithmetic(64, 8191)


def logits_behind(graph: Seq2SeqGraph, steps: int) -> dict[str, Callable[..., tf.Tensor]]:
    """Ways to the logits ``[rows, steps, vocabulary]`` behind ids that are known."""

    def one_by_one(ids: tf.Tensor, length: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        memory, rows = graph.encode(ids, length), tf.shape(ids)[0]
        cache = graph.empty_cache(rows, tf.constant([1]), steps)
        found = []
        for i in range(steps):
            logits, cache = graph.step(before[:, i], tf.constant(i), cache, memory)
            found.append(logits)
        return tf.stack(found, axis=1)

    def drafted(ids: tf.Tensor, length: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """Three at a time, behind a draft that was wrong."""
        memory, rows = graph.encode(ids, length), tf.shape(ids)[0]
        cache = graph.with_room(graph.empty_cache(rows, tf.constant([1]), steps), rows, 3)
        found = []
        for i in range(0, steps, 3):
            at = tf.fill([rows], i)
            _, cache = graph.steps(7 - before[:, i : i + 3] % 7, at, cache, memory)
            logits, cache = graph.steps(before[:, i : i + 3], at, cache, memory)
            found.append(tf.reshape(logits, [rows, 3, -1]))
        return tf.concat(found, axis=1)

    def read(ids: tf.Tensor, length: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        logits = graph.read(before, graph.encode(ids, length))
        return tf.reshape(logits, [tf.shape(ids)[0], steps, -1])

    return {"one by one": one_by_one, "drafted": drafted, "read": read}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("t5", {}),
        pytest.param("t5", {"activation": "gelu_new", "gated": True}, marks=pytest.mark.long),
        pytest.param("bart", {}, marks=pytest.mark.long),
        pytest.param("pegasus", {"activation": "gelu"}, marks=pytest.mark.long),
    ],
    ids=["t5", "t5-gated", "bart", "pegasus"],
)
def test_logits_have_the_same_bits_in_every_way(family: str, settings: dict[str, Any]) -> None:
    architecture = small(family, max_output_tokens=3, num_layers=1, **settings)
    graph = serving_graph(random_model(architecture), architecture, INT8)
    graph.for_xla = True
    ids, length = random_rows(architecture, 5, seed=3)
    ids, length = ids[:, :40], np.maximum(length, 1)
    before = np.random.default_rng(1).integers(3, 60, [5, 3]).astype("int32")
    ways = logits_behind(graph, 3)
    expected = compiled(ways["one by one"], ids, length, before)
    assert len({row.tobytes() for row in expected.reshape(15, -1)}) > 10
    for name, way in ways.items():
        for run in (compiled, lambda way, *rows: way(*map(tf.constant, rows)).numpy()):
            assert np.array_equal(run(way, ids, length, before), expected), name
    for i in (1, 4):
        alone = ids[i : i + 1, : length[i]], length[i : i + 1], before[i : i + 1]
        assert np.array_equal(compiled(ways["one by one"], *alone)[0], expected[i])
