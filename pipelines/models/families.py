"""Chooses the module that builds and serves a model family."""

from __future__ import annotations

import keras

from pipelines.models.architecture import Architecture
from pipelines.models.bart import BartGraph, build_bart
from pipelines.models.decoder import Seq2SeqGraph
from pipelines.models.kernels import FLOAT32, Storage
from pipelines.models.t5 import T5Graph, build_t5


def build_model(architecture: Architecture) -> keras.Model:
    """Build a training model with random weights.

    It takes a dict of ``encoder_token_ids``, ``encoder_padding_mask``,
    ``decoder_token_ids`` and ``decoder_padding_mask`` (all int32 ``[batch, length]``) and
    returns logits float32 ``[batch, decoder length, vocabulary_size]``.
    """
    if architecture.family == "t5":
        return build_t5(architecture)
    return build_bart(architecture)


def serving_graph(
    model: keras.Model, architecture: Architecture, storage: Storage = FLOAT32
) -> Seq2SeqGraph:
    """Return a trained model as the plain graph that is exported; it copies the weights."""
    if architecture.family == "t5":
        return T5Graph(model, architecture, storage)
    return BartGraph(model, architecture, storage)
