"""keras-hub's own cached greedy generation."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from pipelines.models.architecture import Architecture


class _NoPadSampler(keras_hub.samplers.GreedySampler):
    """keras-hub's greedy sampler; the contract never writes the pad id."""

    def __init__(self, pad_id: int) -> None:
        super().__init__()
        self._pad_id = pad_id

    def compute_probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        probabilities = super().compute_probabilities(logits)
        return probabilities * (1 - keras.ops.one_hot(self._pad_id, probabilities.shape[-1]))


def keras_hub_answers(
    model: keras.Model, architecture: Architecture, rows: Sequence[Sequence[int]]
) -> list[list[int]]:
    """What ``generate_step`` writes for rows of the caller's ids, up to and with EOS."""
    pad, eos = architecture.pad_id, architecture.eos_id
    model.sampler = _NoPadSampler(pad)
    packed = [[*architecture.prefix_ids, *row, eos] for row in rows]
    width = max(map(len, packed))
    encoder = np.array([row + [pad] * (width - len(row)) for row in packed], "int32")
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in packed], "int32")
    decoder = np.full((len(packed), architecture.decoder_length + 1), pad, "int32")
    decoder[:, 0] = architecture.decoder_start_id
    decoder_mask = np.zeros_like(decoder)
    decoder_mask[:, 0] = 1
    output = model.generate_step(
        {
            "encoder_token_ids": tf.constant(encoder),
            "encoder_padding_mask": tf.constant(mask),
            "decoder_token_ids": tf.constant(decoder),
            "decoder_padding_mask": tf.constant(decoder_mask),
        },
        stop_token_ids=(eos,),
    )
    answers = np.array(output["decoder_token_ids"])[:, 1:].tolist()
    return [row[: row.index(eos) + 1] if eos in row else row for row in answers]
