"""The answers of transformers, on PyTorch, to the same weights and inputs."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.checkpoints.settings import with_checkpoint
from pipelines.config_sections import ModelConfig, TokenizerConfig
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tests.pipelines.checkpoints.fixture_checkpoints import (
    FIXTURES,
    STEPS,
    Answers,
    architecture_of,
    read_answers,
)

TOLERANCE = 1e-4
NAMES = (
    "t5",
    "t5_v1_1",
    "t5_uneven",
    "mt5",
    "umt5",
    "bart",
    "bart_scaled",
    "distilbart",
    "pegasus",
)
# One of each kind: relative positions once and in each layer, learnt ones, and fixed ones.
LOGITS = ("t5_v1_1", "umt5", "bart", "pegasus")


class Subject:
    """A fixture's checkpoint in our training model."""

    def __init__(self, name: str) -> None:
        self.checkpoint: Checkpoint = open_checkpoint(FIXTURES / name)
        self.answers: Answers = read_answers(name)
        self.architecture: Architecture = architecture_of(self.checkpoint)
        self.model: keras.Model = build_model(self.architecture)
        self.checkpoint.load_into(self.model)
        self.encoder, self.mask = self._packed()

    def _packed(self) -> tuple[np.ndarray, np.ndarray]:
        """Encoder rows of those whose logits are known, as `Decoder` packs them."""
        ours, few = self.architecture, len(self.answers.decoder)
        rows = [
            [*ours.prefix_ids, *row[:length], ours.eos_id]
            for row, length in zip(
                self.answers.ids[:few].tolist(), self.answers.length, strict=False
            )
        ]
        width = max(map(len, rows))
        encoder = [row + [ours.pad_id] * (width - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        return np.array(encoder, "int32"), np.array(mask, "int32")

    def generated(self, rows: int, **settings: Any) -> list[list[int]]:
        architecture = architecture_of(self.checkpoint, **settings)
        decoder = Decoder(serving_graph(self.model, architecture), architecture)
        ids, length = self.answers.ids[:rows], self.answers.length[:rows]
        written = decoder.generate(ids, length, np.zeros_like(length)).numpy()
        return [[each for each in row if each != architecture.pad_id] for row in written]


subject_of = functools.cache(Subject)


def names(quick: Container[str], of: Iterable[str] = NAMES) -> list[Any]:
    """Checkpoints; all but the quick ones are long: a search takes seconds to trace."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.long) for name in of]


def searches(quick: AbstractSet[tuple[str, int]]) -> list[Any]:
    """T5 and BART with every setting of beams; each of the others with two of them, in turn."""
    chosen = [
        (name, index)
        for place, name in enumerate(NAMES)
        for index in range(4)
        if name in ("t5", "bart") or (index - place) % 4 < 2
    ]
    assert quick <= set(chosen)
    return [
        pytest.param(*each, marks=() if each in quick else pytest.mark.long) for each in chosen
    ]


@pytest.mark.parametrize("name", names(quick=LOGITS))
def test_the_training_models_logits(name: str) -> None:
    subject = subject_of(name)
    decoder = subject.answers.decoder
    logits = subject.model(
        {
            "encoder_token_ids": subject.encoder,
            "encoder_padding_mask": subject.mask,
            "decoder_token_ids": decoder,
            "decoder_padding_mask": np.ones_like(decoder),
        }
    ).numpy()
    assert np.abs(subject.answers.logits).max() > 3
    np.testing.assert_allclose(logits, subject.answers.logits, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", names(quick=LOGITS))
def test_the_decode_graphs_logits(name: str) -> None:
    subject = subject_of(name)
    decoder = subject.answers.decoder
    rows, steps = decoder.shape
    longer = architecture_of(subject.checkpoint, max_output_tokens=steps)
    graph = serving_graph(subject.model, longer)
    length = tf.constant(subject.mask.sum(axis=1), tf.int32)
    memory = graph.encode(tf.constant(subject.encoder), length)
    cache = graph.empty_cache(tf.constant(rows), tf.constant([steps]), steps)
    for step in range(steps):
        logits, cache = graph.step(
            tf.constant(decoder[:, step]), tf.constant(step), cache, memory
        )
        expected = subject.answers.logits[:, step]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", names(quick={"t5_v1_1"}))
def test_greedy_ids(name: str) -> None:
    subject = subject_of(name)
    expected = subject.answers.generated["greedy"]
    assert len({tuple(row) for row in expected}) > 30
    assert 10 < sum(len(row) < STEPS for row in expected) < len(expected)
    assert subject.generated(len(expected)) == expected


@pytest.mark.parametrize(
    ("name", "index"),
    searches(quick={("t5", 0)}),
)
def test_beam_search_ids(name: str, index: int) -> None:
    subject = subject_of(name)
    settings = subject.answers.beams[index]
    expected = subject.answers.generated[f"beams_{index}"]
    assert len(expected) == 32
    assert subject.generated(len(expected), **settings) == expected


@pytest.mark.parametrize(
    "name", names(quick={"distilbart"}, of=("distilbart", "t5_uneven", "mt5", "pegasus"))
)
def test_the_recipe_of_the_folder(name: str) -> None:
    """What ``generation_config.json`` says is followed: the ids are those of transformers."""
    subject = subject_of(name)
    recipe = subject.checkpoint.generation
    assert not recipe.unsupported
    model = ModelConfig(init_from=str(FIXTURES / name), max_input_tokens=55)
    taken, _ = with_checkpoint(model, TokenizerConfig(), {})
    settings = {key: getattr(taken, key) for key in recipe.settings}
    expected = subject.answers.generated["recipe"]
    architecture = architecture_of(subject.checkpoint, **settings)
    start = architecture.forced_start
    assert any(len(row) == architecture.decoder_length for row in expected)
    if architecture.force_eos:
        # Forced as the last step, EOS belongs to the limit, as a forced BOS to the start.
        expected = [
            row[:-1] if len(row) == architecture.decoder_length else row for row in expected
        ]
    ours = subject.generated(len(expected), **settings)
    assert ours == [row[start:] for row in expected]


@pytest.mark.parametrize("name", ["bart"])
def test_a_forced_bos_is_no_step(name: str) -> None:
    """One id may be written: it is the one after the forced BOS."""
    subject = subject_of(name)
    assert subject.architecture.forced_bos_id == 0
    decoder = Decoder(serving_graph(subject.model, subject.architecture), subject.architecture)
    ids, length = subject.answers.ids, subject.answers.length
    written = decoder.generate(ids, length, np.ones_like(length)).numpy()
    expected = [row[:1] for row in subject.answers.generated["greedy"]]
    assert written.tolist() == expected
