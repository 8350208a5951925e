"""The exported generation: equal to keras-hub's, the same alone and in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from benchmarks.equality.keras_hub_answers import keras_hub_answers
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from pipelines.models.second_pass import ReadAgain
from pipelines.models.shapes import CompiledShapes

PAD, EOS = 0, 1
FAMILIES = ("t5", "bart")
Subject = tuple[Architecture, keras.Model, Decoder]


def small(family: str, **changes: Any) -> Architecture:
    values: dict[str, Any] = {
        "family": family,
        "vocabulary_size": 64,
        "d_model": 24,
        "num_layers": 2,
        "num_heads": 3,
        "d_ff": 48,
        "max_input_tokens": 40,
        "max_output_tokens": 12,
        "prefix_ids": (5, 6),
    }
    return Architecture(**(values | changes))


def random_model(architecture: Architecture, seed: int = 8) -> keras.Model:
    """A model with weights wide enough that answers differ, and with EOS written at times."""
    keras.utils.set_random_seed(seed)  # of what is not drawn below
    model = build_model(architecture)
    random = np.random.default_rng(seed)
    weights = {}
    for variable in model.backbone.weights:
        weights[variable.path] = variable
        if variable.path.startswith("token_embedding"):
            variable.assign(random.normal(0, 0.6, variable.shape))
        elif variable.path.endswith("kernel"):
            variable.assign(random.normal(0, 1.0, variable.shape))
        else:
            variable.assign(variable.numpy() + random.normal(0, 0.3, variable.shape))
    embeddings = weights["token_embedding/embeddings"].numpy()
    if architecture.family == "bart":
        # Along the bias of the last norm, so that EOS stands out in every row.
        last = f"transformer_decoder_layer_{architecture.num_layers - 1}"
        embeddings[architecture.eos_id] = (
            1.9 * weights[f"{last}/feedforward_layer_norm/beta"].numpy()
        )
    else:
        embeddings[architecture.eos_id] *= 4.0
    weights["token_embedding/embeddings"].assign(embeddings)
    return model


def random_rows(
    architecture: Architecture, rows: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    length = random.integers(0, architecture.max_input_tokens + 1, rows)
    ids = random.integers(3, architecture.vocabulary_size, (rows, 45))
    return ids.astype("int32"), length.astype("int32")


def answers(
    decoder: Decoder,
    ids: np.ndarray,
    length: np.ndarray,
    limit: Sequence[int] | np.ndarray | None = None,
) -> list[list[int]]:
    limit = np.zeros(len(ids), "int32") if limit is None else np.array(limit, "int32")
    written = decoder.generate(ids, length, limit).numpy().tolist()
    return [[each for each in row if each != PAD] for row in written]


def decoded(architecture: Architecture) -> Subject:
    model = random_model(architecture)
    return architecture, model, Decoder(serving_graph(model, architecture), architecture)


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    """A random model of each family and its greedy decoder."""
    return decoded(small(request.param))


@pytest.fixture(
    scope="module",
    params=[
        ("t5", 1),
        ("bart", 1),
        # A beam search takes ten seconds to trace.
        pytest.param(("t5", 3), marks=pytest.mark.long),
        pytest.param(("bart", 3), marks=pytest.mark.long),
    ],
    ids=str,
)
def any_search(request: pytest.FixtureRequest) -> Subject:
    """The same, greedy and with beams."""
    family, num_beams = request.param
    return decoded(small(family, num_beams=num_beams))


def test_equals_keras_hub_token_for_token(
    subject: Subject,
) -> None:
    architecture, model, decoder = subject
    ids, length = random_rows(architecture, 1000, seed=1)
    rows = [row[:own] for row, own in zip(ids.tolist(), length, strict=True)]
    expected = keras_hub_answers(model, architecture, rows)
    assert len({tuple(row) for row in expected}) > 20, "the model answers every row alike"
    assert any(row[-1] == EOS for row in expected)
    assert any(row[-1] != EOS for row in expected)
    received = answers(decoder, ids, length)
    # Two scores that are all but equal may be told apart by rounding alone, which differs
    # between implementations; the search says where that is so.
    doubtful = decoder.in_doubt(ids, length).numpy()
    differing = [i for i, row in enumerate(received) if row != expected[i]]
    assert set(differing) <= set(np.flatnonzero(doubtful))
    assert len(differing) <= 5


def test_logits_equal_the_training_model(
    subject: Subject,
) -> None:
    architecture, model, decoder = subject
    ids, _ = random_rows(architecture, 8, seed=2)
    encoder = np.concatenate([ids[:, :20], np.full((8, 3), PAD)], axis=1).astype("int32")
    mask = np.array([[1] * 20 + [0] * 3] * 8, "int32")
    labels = np.array([[PAD, 7, 8, 9]] * 8, "int32")
    expected = model(
        {
            "encoder_token_ids": encoder,
            "encoder_padding_mask": mask,
            "decoder_token_ids": labels,
            "decoder_padding_mask": np.ones_like(labels),
        }
    ).numpy()
    graph = decoder.graph
    memory = graph.encode(tf.constant(encoder), tf.fill([8], 20))
    cache = graph.empty_cache(tf.constant(8), tf.constant([4]), 4)
    for position in range(4):
        logits, cache = graph.step(
            tf.constant(labels[:, position]), tf.constant(position), cache, memory
        )
        np.testing.assert_allclose(logits, expected[:, position], rtol=1e-3, atol=1e-3)


def test_reading_what_is_written_gives_what_stepping_gave(subject: Subject) -> None:
    architecture, _, decoder = subject
    graph = decoder.graph
    ids, length = random_rows(architecture, 5, seed=12)
    packed, length = decoder._pack(tf.constant(ids), tf.constant(length))
    memory = graph.encode(packed, length)
    steps = architecture.decoder_length
    written = tf.constant(np.random.default_rng(0).integers(2, 64, (5, steps)), tf.int32)
    read = tf.reshape(graph.read(written, memory), [5, steps, -1])
    cache = graph.empty_cache(tf.constant(5), tf.constant([steps]), steps)
    for position in range(steps):
        logits, cache = graph.step(written[:, position], tf.constant(position), cache, memory)
        np.testing.assert_allclose(read[:, position], logits, rtol=1e-3, atol=1e-3)


def test_a_wrong_answer_is_read_until_it_is_the_rows_own(subject: Subject) -> None:
    architecture, _, decoder = subject
    ids, length = random_rows(architecture, 6, seed=13)
    rows = decoder._pack(tf.constant(ids), tf.constant(length))
    limit = tf.constant([12, 12, 5, 1, 12, 3])
    output, _ = decoder._search.search(*rows, limit)
    wrong = np.array(output)
    wrong[:, ::3] = 9
    wrong[1] = 0
    for row in range(6):
        own = int(rows[1][row])
        decided = ReadAgain(decoder.graph, architecture).decide(
            tf.constant(wrong[row : row + 1]),
            rows[0][row : row + 1, :own],
            rows[1][row : row + 1],
            limit[row : row + 1],
        )
        np.testing.assert_array_equal(decided[0], output[row])


def test_a_row_answers_the_same_alone_and_in_any_batch(
    any_search: Subject,
) -> None:
    architecture, _, decoder = any_search
    ids, length = random_rows(architecture, 96, seed=3)
    alone = [answers(decoder, ids[i : i + 1], length[i : i + 1])[0] for i in range(len(ids))]
    for size in (2, 7, 32):
        batched = []
        for start in range(0, len(ids), size):
            batched += answers(decoder, ids[start : start + size], length[start : start + size])
        assert batched == alone, f"batches of {size}"


def test_padding_and_what_lies_in_it_change_nothing(
    any_search: Subject,
) -> None:
    architecture, _, decoder = any_search
    ids, length = random_rows(architecture, 16, seed=4)
    expected = answers(decoder, ids, length)
    wider = np.pad(ids, [[0, 0], [0, 30]], constant_values=9)
    assert answers(decoder, wider, length) == expected


@pytest.mark.parametrize(
    ("family", "xla"),
    [
        ("t5", False),
        pytest.param("bart", False, marks=pytest.mark.long),
        pytest.param("t5", True, marks=pytest.mark.long),
    ],
)
def test_a_near_tie_at_every_step_is_decided_as_for_the_row_alone(
    family: str, xla: bool
) -> None:
    """Each id has a twin whose embedding differs by less than rounding does."""
    architecture = small(family)
    model = random_model(architecture)
    embeddings = model.backbone.token_embedding.embeddings.numpy()
    half = len(embeddings) // 2
    random = np.random.default_rng(0)
    twins = embeddings[:half] * (1 + random.normal(0, 3e-8, embeddings[:half].shape))
    embeddings[half:] = twins.astype("float32")
    model.backbone.token_embedding.embeddings.assign(embeddings)
    shapes = CompiledShapes.of(architecture, (1, 8), (16,)) if xla else None
    decoder = Decoder(serving_graph(model, architecture), architecture, xla=shapes)
    ids, length = random_rows(architecture, 64, seed=5)
    alone = [answers(decoder, ids[i : i + 1], length[i : i + 1])[0] for i in range(len(ids))]
    together, doubtful = decoder._search.search(
        *decoder._pack(tf.constant(ids), tf.constant(length)), tf.fill([64], 12)
    )
    undecided = [[each for each in row if each] for row in together.numpy().tolist()]
    swapped = [a != b for a, b in zip(undecided, alone, strict=True)]
    assert all(
        doubt for doubt, differs in zip(doubtful.numpy(), swapped, strict=True) if differs
    )
    assert any(swapped), "the case is too easy: no twin was ever swapped"
    for size in (2, 7, 64):
        batched = []
        for start in range(0, len(ids), size):
            batched += answers(decoder, ids[start : start + size], length[start : start + size])
        assert batched == alone, f"batches of {size}"


def test_each_row_keeps_its_own_limit(
    subject: Subject,
) -> None:
    architecture, _, decoder = subject
    ids, length = random_rows(architecture, 8, seed=6)
    free = answers(decoder, ids, length)
    limits = [0, 1, 3, 5, 12, 100, 2, -1]
    model_limit = architecture.max_output_tokens
    effective = [min(limit, model_limit) if limit > 0 else model_limit for limit in limits]
    expected = [row[:limit] for row, limit in zip(free, effective, strict=True)]
    assert answers(decoder, ids, length, limits) == expected


def test_every_search_ends_at_each_rows_own_limit(any_search: Subject) -> None:
    architecture, _, decoder = any_search
    ids, length = random_rows(architecture, 8, seed=6)
    limits = [1, 1, 3, 5, 12, 100, 2, 4]
    together = answers(decoder, ids, length, limits)
    for row, (written, limit) in enumerate(zip(together, limits, strict=True)):
        assert 1 <= len(written) <= limit
        alone = answers(decoder, ids[row : row + 1], length[row : row + 1], [limit])
        assert alone == [written]


def test_eos_within_the_limit_ends_a_row(
    subject: Subject,
) -> None:
    architecture, _, decoder = subject
    ids, length = random_rows(architecture, 64, seed=8)
    free = answers(decoder, ids, length)
    ended = next(i for i, row in enumerate(free) if 1 < len(row) < 10 and row[-1] == EOS)
    steps = len(free[ended])
    exactly = answers(decoder, ids[ended : ended + 1], length[ended : ended + 1], [steps])
    one_less = answers(decoder, ids[ended : ended + 1], length[ended : ended + 1], [steps - 1])
    assert exactly == [free[ended]]
    assert one_less == [free[ended][:-1]]


def test_the_output_is_as_wide_as_its_longest_row(
    subject: Subject,
) -> None:
    architecture, _, decoder = subject
    ids, length = random_rows(architecture, 4, seed=9)
    written = decoder.generate(ids, length, np.array([2, 3, 1, 2], "int32")).numpy()
    assert written.shape[1] == max(len([e for e in row if e != PAD]) for row in written)
    assert written.shape[1] <= 3


def test_no_rows_are_answered_with_no_rows(
    any_search: Subject,
) -> None:
    _, _, decoder = any_search
    none = np.zeros([0], "int32")
    assert decoder.generate(np.zeros([0, 5], "int32"), none, none).shape == (0, 0)
    assert decoder.generate(np.zeros([0, 0], "int32"), none, none).shape == (0, 0)


def test_rows_without_ids_are_answered(
    any_search: Subject,
) -> None:
    _, _, decoder = any_search
    zeros = np.zeros([3], "int32")
    written = answers(decoder, np.zeros([3, 0], "int32"), zeros)
    assert written[0]
    assert written == [written[0]] * 3


def test_what_exceeds_the_input_limit_is_not_read(
    any_search: Subject,
) -> None:
    architecture, _, decoder = any_search
    ids, _ = random_rows(architecture, 8, seed=10)
    limit = architecture.max_input_tokens
    cut = answers(decoder, ids[:, :limit], np.full([8], limit, "int32"))
    assert answers(decoder, ids, np.full([8], 45, "int32")) == cut


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("t5", 2),
        ("bart", 3),
        pytest.param("t5", 3, marks=pytest.mark.long),
        pytest.param("bart", 2, marks=pytest.mark.long),
    ],
)
def test_no_sequence_is_written_twice(family: str, size: int) -> None:
    architecture = small(family, no_repeat_ngram_size=size, max_output_tokens=24)
    model = random_model(architecture)
    # Without EOS every row runs to the limit, and without the rule it repeats itself.
    embeddings = model.backbone.token_embedding.embeddings.numpy()
    embeddings[EOS] = 0
    model.backbone.token_embedding.embeddings.assign(embeddings)
    decoder = Decoder(serving_graph(model, architecture), architecture)
    ids, length = random_rows(architecture, 32, seed=1)
    for row in answers(decoder, ids, length):
        parts = [tuple(row[i : i + size]) for i in range(len(row) - size + 1)]
        assert len(parts) == len(set(parts))


def test_a_stock_server_takes_the_graph(any_search: Subject, tmp_path: Path) -> None:
    _, _, decoder = any_search
    tf.saved_model.save(decoder, str(tmp_path))
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert len(nodes) > 100
    assert not [node.op for node in nodes if node.op.startswith("Xla")]
    assert not [
        function.signature.name
        for function in graph.library.function
        if function.attr["_XlaMustCompile"].b
    ]
    assert not [node.name for node in nodes if node.attr["_XlaMustCompile"].b]


@pytest.mark.parametrize(
    ("family", "num_beams"),
    [
        ("t5", 1),
        # Each takes ten seconds to compile.
        pytest.param("t5", 3, marks=pytest.mark.long),
        pytest.param("bart", 1, marks=pytest.mark.long),
        pytest.param("bart", 3, marks=pytest.mark.long),
    ],
)
def test_compiled_by_xla_it_gives_the_same_answers(
    family: str, num_beams: int, tmp_path: Path
) -> None:
    architecture = small(family, num_beams=num_beams, no_repeat_ngram_size=2)
    model = random_model(architecture)
    plain = Decoder(serving_graph(model, architecture), architecture)
    shapes = CompiledShapes.of(architecture, (1, 8), (16,))
    compiled = Decoder(serving_graph(model, architecture), architecture, xla=shapes)
    # More rows than are compiled together.
    ids, length = random_rows(architecture, 12, seed=11)
    limits = [0, 3, 12, 1, 0, 5] * 2
    expected = answers(plain, ids, length, limits)
    tf.saved_model.save(compiled, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert answers(loaded, ids, length, limits) == expected
    # As a server warms it up: one step for every row, and rows of its own. What a beam search
    # writes in one step need not begin what it writes in several.
    warm = (ids[:3], length[:3], [1] * 3)
    assert answers(loaded, *warm) == answers(plain, *warm)
    none = np.zeros([0], "int32")
    assert loaded.generate(np.zeros([0, 5], "int32"), none, none).shape == (0, 0)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    assert any(function.attr["_XlaMustCompile"].b for function in functions)
