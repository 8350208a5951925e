"""The exported generation: equal to keras-hub's, within each row's limit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.equality.keras_hub_answers import keras_hub_answers
from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.second_pass import ReadAgain
from tests.pipelines.models.random_models import (
    EOS,
    FAMILIES,
    PAD,
    Subject,
    answers,
    decoded,
    random_model,
    random_rows,
    small,
)


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    """A random model of each family and its greedy decoder."""
    return decoded(small(request.param))


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


@pytest.mark.parametrize(
    ("family", "size"),
    [
        ("t5", 2),
        pytest.param("bart", 3, marks=pytest.mark.long),
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
