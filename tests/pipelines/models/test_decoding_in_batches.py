"""The exported generation: a row answers the same alone, in any batch, and compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.shapes import CompiledShapes
from tests.pipelines.models.random_models import (
    Subject,
    answers,
    decoded,
    random_model,
    random_rows,
    small,
)


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
    """A random model of each family and its decoder, greedy and with beams."""
    family, num_beams = request.param
    return decoded(small(family, num_beams=num_beams))


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


def test_every_search_ends_at_each_rows_own_limit(any_search: Subject) -> None:
    architecture, _, decoder = any_search
    ids, length = random_rows(architecture, 8, seed=6)
    limits = [1, 1, 3, 5, 12, 100, 2, 4]
    together = answers(decoder, ids, length, limits)
    for row, (written, limit) in enumerate(zip(together, limits, strict=True)):
        assert 1 <= len(written) <= limit
        alone = answers(decoder, ids[row : row + 1], length[row : row + 1], [limit])
        assert alone == [written]


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
    ("family", "num_beams", "num_layers"),
    [
        # Each takes ten seconds to compile.
        pytest.param("t5", 1, 1, marks=pytest.mark.long),
        pytest.param("t5", 1, 2, marks=pytest.mark.long),
        pytest.param("t5", 3, 2, marks=pytest.mark.long),
        pytest.param("bart", 1, 2, marks=pytest.mark.long),
        pytest.param("bart", 3, 2, marks=pytest.mark.long),
    ],
)
def test_compiled_by_xla_it_gives_the_same_answers(
    family: str, num_beams: int, num_layers: int, tmp_path: Path
) -> None:
    rules = {"num_beams": num_beams, "no_repeat_ngram_size": 2}
    architecture = small(family, num_layers=num_layers, **rules)
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
