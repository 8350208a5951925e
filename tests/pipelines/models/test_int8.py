"""int8: a row's answer is its own, near float32's, and nothing is stored twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.kernels import FLOAT32, INT8, Storage
from pipelines.models.shapes import CompiledShapes
from tests.pipelines.models.random_models import (
    FAMILIES,
    in_batches,
    random_model,
    random_rows,
    small,
)
from tests.pipelines.models.test_drafted_search import RULES, Subject

ROWS = 40


def model_with_rivals(architecture: Architecture) -> keras.Model:
    """Each id has a rival whose embedding is nearly its own, so that decisions are close."""
    model = random_model(architecture)
    embeddings = model.backbone.token_embedding.embeddings
    values = embeddings.numpy()
    half = len(values) // 2
    noise = np.random.default_rng(0).normal(0, 4e-3, values[:half].shape)
    values[half:] = values[:half] * (1 + noise)
    embeddings.assign(values)
    return model


def decoder_of(
    model: keras.Model,
    architecture: Architecture,
    drafted: int = 0,
    widths: tuple[int, ...] = (),
    storage: Storage = INT8,
) -> Decoder:
    shapes = CompiledShapes.of(architecture, (1, 4), widths)
    graph = serving_graph(model, architecture, storage)
    return Decoder(graph, architecture, xla=shapes, draft_tokens=drafted, drafted_rows=4)


def in_turns(
    decoder: Decoder, ids: np.ndarray, length: np.ndarray, size: int, limit: int = 0
) -> list[list[int]]:
    return in_batches(decoder, ids, length, np.full(len(ids), limit), size)


@pytest.mark.long
def test_a_row_answers_the_same_alone_and_together() -> None:
    architecture = small("t5", num_layers=1)
    decoder = decoder_of(model_with_rivals(architecture), architecture, widths=(16,))
    ids, length = random_rows(architecture, ROWS, seed=3)
    alone = in_turns(decoder, ids, length, 1)
    assert len({tuple(row) for row in alone}) > 10, "the model answers every row alike"
    assert in_turns(decoder, ids, length, ROWS) == alone


@pytest.mark.long  # each takes up to a minute to compile
@pytest.mark.parametrize(
    ("family", "rules", "widths"),
    [
        ("t5", RULES[0], (16,)),
        ("t5", RULES[0], ()),
        ("bart", RULES[0], (16,)),
        ("t5", RULES[1], (16,)),
        ("bart", RULES[1], (16,)),
        ("t5", RULES[2], (16,)),
        ("bart", RULES[2], (16,)),
    ],
    ids=[
        "t5-plain",
        "t5-widths",
        "bart-plain",
        "t5-repeats",
        "bart-repeats",
        "t5-forced",
        "bart-forced",
    ],
)
def test_a_row_answers_the_same_alone_together_and_drafted(
    family: str, rules: dict[str, Any], widths: tuple[int, ...]
) -> None:
    architecture = small(family, **rules)
    model = model_with_rivals(architecture)
    decoder = decoder_of(model, architecture, widths=widths)
    ids, length = random_rows(architecture, ROWS, seed=3)
    alone = in_turns(decoder, ids, length, 1)
    assert len({tuple(row) for row in alone}) > 10, "the model answers every row alike"
    # Narrow and wide rows side by side, a batch that is padded, one in turns, and all.
    for size in (2, 4, 7, ROWS):
        assert in_turns(decoder, ids, length, size) == alone, f"batches of {size}"
    drafted = decoder_of(model, architecture, drafted=2, widths=widths)
    for size in (1, 3):
        assert in_turns(drafted, ids, length, size) == alone, f"drafted, batches of {size}"
    for limit in (1, 3):
        # Of a forced EOS there is none at a row's own limit; its ids are those before it.
        own = in_turns(decoder, ids, length, 1, limit)
        assert in_turns(decoder, ids, length, 5, limit) == own
        assert own == [row[:limit] for row in alone]


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_with_beams_a_row_answers_the_same_alone_and_together(family: str) -> None:
    architecture = small(family, num_beams=3, length_penalty=2.0, max_output_tokens=8)
    decoder = decoder_of(model_with_rivals(architecture), architecture)
    ids, length = random_rows(architecture, 12, seed=4)
    alone = in_turns(decoder, ids, length, 1)
    assert in_turns(decoder, ids, length, 12) == alone
    assert len({tuple(row) for row in alone}) > 3
    none = np.zeros([0], "int32")
    assert decoder.generate(np.zeros([0, 5], "int32"), none, none).shape == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_model_has_learnt_it_writes_in_int8_too(family: str) -> None:
    subject = Subject(family, trained=True)
    expected = subject.answers(subject.decoder(0), 16)
    graph = serving_graph(subject.model, subject.architecture, INT8)
    assert subject.answers(Decoder(graph, subject.architecture), 16) == expected


@pytest.mark.parametrize("family", ["t5", pytest.param("bart", marks=pytest.mark.long)])
def test_every_matrix_is_stored_once_in_int8(family: str, tmp_path: Path) -> None:
    architecture = small(family, d_model=96, d_ff=384, vocabulary_size=2000)
    model = random_model(architecture)
    sizes = {}
    for storage in (FLOAT32, INT8):
        decoder = decoder_of(model, architecture, storage=storage)
        if storage is INT8:
            large = [each for each in decoder.variables if each.shape.num_elements() > 5000]
            assert {each.dtype for each in large} == {tf.int8}
            stored = sum(each.shape.num_elements() for each in large)
            matrices = (each for each in model.trainable_variables if each.ndim > 1)
            assert stored <= sum(int(np.prod(each.shape)) for each in matrices)
        folder = tmp_path / str(storage.fewest_rows)
        tf.saved_model.save(decoder, str(folder))
        sizes[storage] = sum(file.stat().st_size for file in folder.glob("variables/*data*"))
    # The tied embeddings are in float32's twice.
    assert sizes[INT8] < 0.25 * sizes[FLOAT32]
