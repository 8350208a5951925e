"""Runs TensorFlow's converter."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tensorflow as tf

from pipelines.edge.graph import EdgeDecoder
from pipelines.edge.record import DYNAMIC_RANGE, SIGNATURE


def convert(decoder: EdgeDecoder, weights: str) -> bytes:
    """Return a decoder as a LiteRT model with built-in ops alone.

    Args:
      decoder: of the model.
      weights: ``float32``, or ``dynamic-range``: matrices in int8, multiplied by rows that are
        quantised as they come.
    """
    with tempfile.TemporaryDirectory() as directory:
        saved = str(Path(directory) / "model")
        tf.saved_model.save(decoder, saved, signatures={SIGNATURE: decoder.generate})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[SIGNATURE])
        if weights == DYNAMIC_RANGE:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converted: bytes = converter.convert()
    return converted
