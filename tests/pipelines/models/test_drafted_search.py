"""Drafts change how many ids a step writes, and never which."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.models import decoder
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.drafted_search import DraftedSearch, drafts_that_pay
from pipelines.models.families import build_model, serving_graph
from pipelines.models.kernels import FLOAT32, INT8, Storage
from pipelines.models.shapes import CompiledShapes
from pipelines.training.optimization import build_optimizer
from pipelines.training.settings import TrainingSettings
from pipelines.training.train_step import make_train_step

PAD, EOS = 0, 1
LIMIT = 14
FEW = 4  # rows that are decoded together with drafts
FAMILIES = ("t5", "bart")
RULES: list[dict[str, Any]] = [
    {},
    {
        "no_repeat_ngram_size": 2,
        "min_output_tokens": 9,
        "repetition_penalty": 1.3,
        "banned_ids": ((7,), (8, 9), (10, 11, 12)),
    },
    {"forced_bos_id": 4, "force_eos": True, "min_output_tokens": 3, "no_repeat_ngram_size": 3},
]


def small(family: str, **changes: Any) -> Architecture:
    values: dict[str, Any] = {
        "family": family,
        "vocabulary_size": 64,
        "d_model": 32,
        "num_layers": 2,
        "num_heads": 2,
        "d_ff": 64,
        "max_input_tokens": 24,
        "max_output_tokens": LIMIT,
        "prefix_ids": (5, 6),
    }
    return Architecture(**(values | changes))


def random_model(architecture: Architecture) -> keras.Model:
    """Weights wide enough that answers differ, and with EOS written at times."""
    keras.utils.set_random_seed(8)
    model = build_model(architecture)
    random = np.random.default_rng(8)
    for variable in model.backbone.weights:
        wide = variable.path.endswith("kernel") or "token_embedding" in variable.path
        if architecture.family == "bart" and "norm" in variable.path:
            continue  # a norm that scales down to its bias would make all answers alike
        variable.assign(random.normal(0, 0.7 if wide else 0.2, variable.shape))
    return model


def memory_of_rows() -> tuple[list[list[int]], list[list[int]]]:
    """Documents, and summaries of which half copy two pieces of theirs."""
    random = np.random.default_rng(5)
    documents = [random.integers(8, 64, random.integers(14, 25)).tolist() for _ in range(16)]
    summaries = []
    for i, document in enumerate(documents):
        copied = document[:4] + document[7 : 7 + i // 2]
        own = random.integers(8, 64, 3 + i // 2).tolist()
        summaries.append(copied if i % 2 else own)
    return documents, summaries


def trained_model(architecture: Architecture) -> keras.Model:
    """A model that knows those rows by heart."""
    keras.utils.set_random_seed(3)
    model = build_model(architecture)
    documents, summaries = memory_of_rows()
    encoder = padded([[*architecture.prefix_ids, *each, EOS] for each in documents])
    labels = padded([[*each, EOS] for each in summaries])
    start = np.full((len(labels), 1), architecture.decoder_start_id, "int32")
    batch = {
        "encoder_token_ids": encoder,
        "encoder_padding_mask": (encoder != PAD).astype("int32"),
        "decoder_token_ids": np.concatenate([start, labels[:, :-1]], axis=1),
        "decoder_padding_mask": (labels != PAD).astype("int32"),
        "labels": labels,
    }
    settings = TrainingSettings.from_config(
        {
            "batch_size": len(labels),
            "learning_rate": 0.01,
            "warmup_steps": 10,
            "steps": 200,
            "optimizer": "adamw",
        }
    )
    optimizer = build_optimizer(settings)
    optimizer.build(model.trainable_variables)
    step = make_train_step(model, optimizer, settings)
    for _ in range(settings.steps):
        nats, count = step({name: tf.constant(value) for name, value in batch.items()})
    assert float(nats) / float(count) < 0.5, "it does not know them"
    return model


def padded(rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows))
    return np.array([row + [PAD] * (width - len(row)) for row in rows], "int32")


class Subject:
    """A model with rows that it is asked for."""

    def __init__(self, family: str, trained: bool) -> None:
        self.architecture = small(family)
        if trained:
            self.model = trained_model(self.architecture)
            documents = memory_of_rows()[0]
        else:
            self.model = random_model(self.architecture)
            random = np.random.default_rng(1)
            documents = [
                random.integers(3, 64, random.integers(0, 25)).tolist() for _ in range(64)
            ]
        self.ids = padded(documents)
        self.length = np.array([len(each) for each in documents], "int32")

    def decoder(self, drafted: int, xla: bool = False, **rules: Any) -> Decoder:
        architecture = replace(self.architecture, **rules)
        shapes = CompiledShapes.of(architecture, (1, 4), (32,)) if xla else None
        graph = serving_graph(self.model, architecture)
        return Decoder(graph, architecture, xla=shapes, draft_tokens=drafted, drafted_rows=FEW)

    def answers(self, decoder: Decoder, rows: int, limit: int = 0) -> list[list[int]]:
        """The output of all rows, so many at a time."""
        found: list[list[int]] = []
        for i in range(0, len(self.ids), rows):
            part = slice(i, i + rows)
            limits = np.full(len(self.ids[part]), limit, "int32")
            written = decoder.generate(self.ids[part], self.length[part], limits)
            found += [[each for each in row if each != PAD] for row in written.numpy().tolist()]
        return found


@pytest.fixture(
    scope="module",
    params=[
        ("t5", False),
        pytest.param(("bart", True), marks=pytest.mark.long),
        pytest.param(("t5", True), marks=pytest.mark.long),
        pytest.param(("bart", False), marks=pytest.mark.long),
    ],
    ids=["t5-random", "bart-trained", "t5-trained", "bart-random"],
)
def subject(request: pytest.FixtureRequest) -> Subject:
    return Subject(*request.param)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(RULES[0], id="plain", marks=pytest.mark.long),
        pytest.param(RULES[1], id="repeats"),
        pytest.param(RULES[2], id="forced", marks=pytest.mark.long),
    ],
)
def test_ids_are_those_of_greedy_search(subject: Subject, rules: dict[str, Any]) -> None:
    greedy, drafted = subject.decoder(0, **rules), subject.decoder(3, **rules)
    expected = subject.answers(greedy, 64)
    assert len({tuple(row) for row in expected}) > 10, "the model answers every row alike"
    # Alone, a few at a time with drafts, and all at once, which are too many for drafts.
    for rows in (1, FEW, 64):
        assert subject.answers(drafted, rows) == expected
    for limit in (1, 2, 5):
        few = subject.answers(drafted, FEW, limit)
        assert few == subject.answers(greedy, 64, limit)
    none = np.zeros([0], "int32")
    assert drafted.generate(np.zeros([0, 5], "int32"), none, none).shape == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize(("longest", "drafted"), [(3, 16), (2, 1), (1, 3)])
def test_more_is_drafted_than_there_is_to_write(longest: int, drafted: int) -> None:
    subject = Subject("t5", trained=False)
    expected = subject.answers(subject.decoder(0, max_output_tokens=longest), 64)
    short = subject.decoder(drafted, max_output_tokens=longest)
    assert subject.answers(short, FEW) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("storage", [FLOAT32, INT8], ids=["float32", "int8"])
def test_a_large_model_drafts_if_nothing_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, family: str, storage: Storage
) -> None:
    architecture = small(family)
    graph = serving_graph(build_model(architecture), architecture, storage)
    width, inner = architecture.d_model, architecture.d_ff
    # Queries, keys, values and outputs of the row itself, queries and outputs of its input.
    layer = 6 * width**2 + 2 * width * inner
    weights = architecture.num_layers * layer + width * architecture.vocabulary_size
    assert graph.weights_of_a_step == weights
    assert drafts_that_pay(graph) == 0
    monkeypatch.setattr(decoder, "_LARGE", weights + 1)
    assert drafts_that_pay(graph) == 0
    monkeypatch.setattr(decoder, "_LARGE", weights)
    assert drafts_that_pay(graph) == 3


class Watched(DraftedSearch):
    """Keeps how many ids each step drafted, and how many ids each row had before and after."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.drafted: list[int] = []
        self.before: list[list[int]] = []
        self.after: list[list[int]] = []

    def _read(self, state: Any, draft: Any, *others: Any) -> Any:
        found = super()._read(state, draft, *others)
        self.drafted.append(draft.shape[1])
        self.before.append(state.position.numpy().tolist())
        self.after.append(found.position.numpy().tolist())
        return found


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_that_copies_takes_fewer_steps_and_its_neighbour_does_not(family: str) -> None:
    subject = Subject(family, trained=True)
    search = Watched(
        serving_graph(subject.model, subject.architecture), subject.architecture, 3
    )
    packed, length = subject.decoder(0)._pack(
        tf.constant(subject.ids), tf.constant(subject.length)
    )
    written, _ = search.search(packed, length, tf.fill([16], LIMIT))
    ids = tf.reduce_sum(tf.cast(written != PAD, tf.int32), axis=1).numpy()
    steps = [
        next(i for i, at in enumerate(search.after, 1) if at[row] == ids[row])
        for row in range(16)
    ]
    # Long ones, of which the second copies: eleven ids and EOS in two pieces.
    assert ids[14] >= 10
    assert ids[15] >= 10
    assert steps[14] >= ids[14] - 2
    assert steps[15] <= ids[15] // 2


def test_a_row_alone_drafts_at_its_beginning_and_where_its_last_two_ids_were_found() -> None:
    subject = Subject("t5", trained=False)
    graph = serving_graph(subject.model, subject.architecture)
    decoder, both = subject.decoder(0), set()
    for row in range(16):
        packed, length = decoder._pack(
            tf.constant(subject.ids[row : row + 1]), tf.constant(subject.length[row : row + 1])
        )
        search = Watched(graph, subject.architecture, 3)
        written, _ = search.search(packed, length, tf.fill([1], LIMIT))
        own = [subject.architecture.decoder_start_id, *written.numpy()[0].tolist()]
        assert (search.before[0], search.drafted[0]) == ([0], 3)
        for (position,), drafted in zip(search.before[1:], search.drafted[1:], strict=True):
            last = own[position - 1 : position + 1]
            behind = [*packed.numpy()[0].tolist()[:-1], *own[:position]]
            found = last in [list(pair) for pair in itertools.pairwise(behind)]
            assert drafted == (3 if found else 0), (row, position)
            both.add(drafted)
    assert both == {0, 3}


@pytest.mark.long  # each takes ten seconds and more to compile
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trained", [True, False])
def test_compiled_by_xla_they_are_the_same(family: str, trained: bool) -> None:
    subject = Subject(family, trained)
    rules: dict[str, Any] = {"no_repeat_ngram_size": 3, "min_output_tokens": 4}
    expected = subject.answers(subject.decoder(0, **rules), 64)
    compiled = subject.decoder(3, xla=True, **rules)
    for rows in (1, 3):
        assert subject.answers(compiled, rows) == expected
