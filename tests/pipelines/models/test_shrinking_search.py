"""Rows that have ended leave the batch, and no answer changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models import decoder
from pipelines.models.architecture import Architecture
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.decoding import Decoder
from pipelines.models.drafted_search import DraftedSearch
from pipelines.models.families import serving_graph
from pipelines.models.greedy_search import GreedySearch
from pipelines.models.kernels import FLOAT32, INT8, Storage
from pipelines.models.packing import pack
from pipelines.models.shapes import CompiledShapes
from pipelines.models.shrinking_search import AnySize, CompiledSizes, ShrinkingSearch
from tests.pipelines.models.random_models import in_batches, random_model, random_rows, small

STEPS = 12
FAMILIES = ("t5", "bart")
Request = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def graph_of(family: str) -> tuple[Seq2SeqGraph, Architecture]:
    # Nothing ends before its limit.
    architecture = small(family, min_output_tokens=STEPS)
    return serving_graph(random_model(architecture), architecture), architecture


def request_of(architecture: Architecture, limits: list[int]) -> Request:
    ids, length = random_rows(architecture, len(limits), seed=7)
    return *pack(architecture, tf.constant(ids), tf.constant(length)), tf.constant(limits)


def rows_of_each_step(monkeypatch: pytest.MonkeyPatch, graph: Seq2SeqGraph) -> list[int]:
    """A list of how many rows each step computes, filled as the graph is run."""
    found: list[int] = []
    step = graph.step

    def watched(token_ids: tf.Tensor, *others: object, **more: object) -> object:
        found.append(int(tf.size(token_ids)))
        return step(token_ids, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(graph, "step", watched)
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("limits", "rows"),
    [
        # A round of eight or six rows ends with two of them, of four or three with one.
        ([1, 12, 3, 5, 2, 8, 4, 6], [8] * 2 + [6] * 2 + [4] + [3] + [2] * 2 + [1] * 4),
        ([5] * 8, [8] * 5),
        ([3, 3, 3, 12], [4] * 3 + [1] * 9),
        ([12], [1] * 12),
    ],
)
def test_a_step_computes_fewer_rows_when_some_have_ended(
    monkeypatch: pytest.MonkeyPatch, family: str, limits: list[int], rows: list[int]
) -> None:
    graph, architecture = graph_of(family)
    request = request_of(architecture, limits)
    expected = GreedySearch(graph, architecture).search(*request)
    computed = rows_of_each_step(monkeypatch, graph)
    written, doubtful = ShrinkingSearch(graph, architecture).search(*request)
    assert computed == rows
    assert written.numpy().tolist() == expected[0].numpy().tolist()
    assert doubtful.numpy().tolist() == expected[1].numpy().tolist()
    assert [np.count_nonzero(row) for row in written.numpy()] == limits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("most", [1, 3])
def test_the_last_rows_are_drafted(
    monkeypatch: pytest.MonkeyPatch, family: str, most: int
) -> None:
    graph, architecture = graph_of(family)
    request = request_of(architecture, [1, 12, 3, 11, 2, 10, 4, 6])
    expected = GreedySearch(graph, architecture).search(*request)[0]
    computed = rows_of_each_step(monkeypatch, graph)
    drafted = DraftedSearch(graph, architecture, 2)
    written, _ = ShrinkingSearch(graph, architecture, drafted, most).search(*request)
    assert written.numpy().tolist() == expected.numpy().tolist()
    assert min(computed) == most + 1  # `steps`, not `step`, writes the others


def test_sizes_of_a_batch() -> None:
    anything = AnySize(least=1)
    assert [int(anything.next_below(rows)) for rows in (16, 8, 4, 3, 2)] == [12, 6, 3, 2, 1]
    assert int(anything.with_room_for(5)) == 5
    assert int(AnySize(least=3).next_below(tf.constant(4))) == 3

    compiled = CompiledSizes((2, 4, 16))
    assert [int(compiled.next_below(rows)) for rows in (16, 4, 2)] == [4, 2, 0]
    assert [int(compiled.with_room_for(rows)) for rows in (0, 1, 2, 3, 4, 5)] == [
        *(2, 2, 2),
        *(4, 4, 16),
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_exported_rows_answer_the_same_with_any_neighbours_and_limits(family: str) -> None:
    architecture = small(family)
    exported = Decoder(serving_graph(random_model(architecture), architecture), architecture)
    ids, length = random_rows(architecture, 48, seed=8)
    limits = np.random.default_rng(8).integers(1, STEPS + 1, 48).astype("int32")
    alone = in_batches(exported, ids, length, limits, 1)
    assert len({len(row) for row in alone}) > STEPS // 2
    for size in (3, 8, 48):
        assert in_batches(exported, ids, length, limits, size) == alone, f"batches of {size}"


@pytest.mark.long  # each shape takes seconds to compile
@pytest.mark.parametrize("storage", [FLOAT32, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize(
    ("sizes", "drafted"), [((1, 2, 8), 0), ((1, 3, 8), 2), ((4, 8), 0), ((8,), 2)], ids=str
)
def test_compiled_for_few_sizes_they_are_the_same(
    monkeypatch: pytest.MonkeyPatch, storage: Storage, sizes: tuple[int, ...], drafted: int
) -> None:
    monkeypatch.setattr(decoder, "_LARGE", 0)  # smaller ones are compiled as a whole
    architecture = small("t5")
    model = random_model(architecture)
    ids, length = random_rows(architecture, 24, seed=9)
    limits = np.random.default_rng(9).integers(1, STEPS + 1, 24).astype("int32")

    def decoder_of(rows: tuple[int, ...], drafts: int) -> Decoder:
        graph = serving_graph(model, architecture, storage)
        shapes = CompiledShapes.of(architecture, rows, (16,))
        return Decoder(graph, architecture, xla=shapes, draft_tokens=drafts, drafted_rows=2)

    alone = decoder_of((1,), 0)
    expected = in_batches(alone, ids, length, limits, 1)
    compiled = decoder_of(sizes, drafted)
    for size in (1, 5, 8, 24):
        assert in_batches(compiled, ids, length, limits, size) == expected, f"batches of {size}"


@pytest.mark.long  # each shape takes seconds to compile
def test_requests_for_one_step_have_everything_compiled(tmp_path: Path) -> None:
    """Warm-up requests ask for one step of each shape; none is compiled after them."""
    flags = f"--tf_xla_persistent_cache_directory={tmp_path}"
    module = "tests.pipelines.models.compiled_files"
    run = subprocess.run(
        [sys.executable, "-m", module, str(tmp_path), "1", "3", "6"],
        env=os.environ | {"TF_XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "2"},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    warm, afterwards = map(int, run.stdout.split())
    # Two parts of each number of rows and width, and the pass that decides doubtful rows.
    assert warm == 2 * 3 * 2 + 1
    assert afterwards == warm
