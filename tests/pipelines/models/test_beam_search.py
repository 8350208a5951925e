"""Beam search: with enough beams it finds the best sequence that there is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.beam_search import BeamSearch
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.families import build_model, serving_graph

PAD, EOS, SIZE, LIMIT = 0, 1, 6, 4


def architecture(family: str, **changes: object) -> Architecture:
    values: dict[str, Any] = {
        "family": family,
        "vocabulary_size": SIZE,
        "d_model": 16,
        "num_layers": 1,
        "num_heads": 2,
        "d_ff": 32,
        "max_input_tokens": 9,
        "max_output_tokens": LIMIT,
    }
    return Architecture(**(values | changes))


def graph_of(family: str) -> Seq2SeqGraph:
    model = build_model(architecture(family))
    random = np.random.default_rng(3)
    for variable in model.backbone.weights:
        variable.assign(random.normal(0, 0.7, variable.shape))
    return serving_graph(model, architecture(family))


def worth(
    graph: Seq2SeqGraph, packed: tf.Tensor, sequences: list[tuple[int, ...]], penalty: float
) -> np.ndarray:
    """Log probabilities of sequences over their lengths to the power of the penalty."""
    rows = len(sequences)
    ids = np.full([rows, LIMIT], PAD)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    lengths = np.array([len(sequence) for sequence in sequences])
    memory = graph.encode(tf.repeat(packed, rows, axis=0), tf.fill([rows], packed.shape[1]))
    cache, token, total = (
        graph.empty_cache(tf.constant(rows), tf.constant([LIMIT]), LIMIT),
        np.full(rows, PAD),
        np.zeros(rows),
    )
    for position in range(LIMIT):
        logits, cache = graph.step(tf.constant(token), tf.constant(position), cache, memory)
        likely = tf.nn.log_softmax(logits).numpy()
        token = ids[:, position]
        total += np.where(position < lengths, likely[np.arange(rows), token], 0.0)
    return total / lengths**penalty


def all_sequences(limit: int) -> Iterator[tuple[int, ...]]:
    """Every sequence that ends with its first EOS, or at the limit."""
    others = [token for token in range(SIZE) if token not in (PAD, EOS)]
    for length in range(limit):
        for start in itertools.product(others, repeat=length):
            yield (*start, EOS)
    yield from itertools.product(others, repeat=limit)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_wide_beams_find_the_best_of_all_sequences(family: str, penalty: float) -> None:
    graph = graph_of(family)
    wide = architecture(family, num_beams=SIZE**LIMIT // 2, length_penalty=penalty)
    search = BeamSearch(graph, wide)
    packed = tf.constant([[2, 3, 4, EOS, PAD], [5, 2, 2, 3, EOS]])
    length, limit = tf.constant([4, 5]), tf.constant([LIMIT, LIMIT - 1])

    found, _ = search.search(packed, length, limit)

    for row in range(2):
        own = packed[row : row + 1, : int(length[row])]
        sequences = list(all_sequences(int(limit[row])))
        best = sequences[int(np.argmax(worth(graph, own, sequences, penalty)))]
        padded = [*best, *[PAD] * (LIMIT - len(best))]
        assert found[row].numpy().tolist() == padded
