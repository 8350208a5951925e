"""Random models of each family, rows for them, and what their decoders answer."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph

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


def in_batches(
    decoder: Decoder, ids: np.ndarray, length: np.ndarray, limits: np.ndarray, size: int
) -> list[list[int]]:
    """The answers of all rows, so many at a time."""
    found: list[list[int]] = []
    for i in range(0, len(ids), size):
        part = slice(i, i + size)
        found += answers(decoder, ids[part], length[part], limits[part])
    return found


@functools.cache  # to trace a decoder takes seconds
def decoded(architecture: Architecture) -> Subject:
    model = random_model(architecture)
    return architecture, model, Decoder(serving_graph(model, architecture), architecture)
