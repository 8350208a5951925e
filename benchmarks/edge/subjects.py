"""What is compared: one version's weights, decoded greedily by TensorFlow and by LiteRT."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.checkpoints.opening import open_checkpoint
from pipelines.edge.exporting import export_litert, version_settings
from pipelines.edge.record import DYNAMIC_RANGE, FLOAT32
from pipelines.edge.runtime import EdgeSummarizer
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tokenizer.contract import MeteringRecord

SAVED_MODEL: Final = "SavedModel"
_CHECKPOINT: Final = "assets.extra"

# Ids of a text, all of them, to the ids that are written, and whether rounding may decide them.
Generate = Callable[[list[int]], tuple[list[int], bool]]


@dataclass(frozen=True)
class Subject:
    """One way to run the weights.

    Attributes:
      name: of the runtime and of its weights.
      size: bytes that it needs on a device.
      generate: one row; ids up to and including EOS, without padding.
    """

    name: str
    size: int
    generate: Generate


def subjects(version: Path, folder: Path) -> tuple[list[Subject], EdgeSummarizer]:
    """Export a version in every way.

    Args:
      version: its folder.
      folder: for the exports; empty.

    Returns:
      The SavedModel, which is the reference, then the LiteRT files; and what counts with the
      first of these.
    """
    record = MeteringRecord.load(version)
    greedy, size = _greedy_saved_model(version, record)
    found = [Subject(f"{SAVED_MODEL}, float32", size, _by_tensorflow(greedy, record))]
    summarizers = []
    for weights in (FLOAT32, DYNAMIC_RANGE):
        file = folder / f"{weights}.tflite"
        export_litert(version, file, weights=weights, greedy=True)
        summarizer = EdgeSummarizer(file)
        summarizers.append(summarizer)
        found.append(Subject(f"LiteRT, {weights}", file.stat().st_size, _by_litert(summarizer)))
    return found, summarizers[0]


def _greedy_saved_model(version: Path, record: MeteringRecord) -> tuple[Any, int]:
    """A loaded model with ``generate``, and the bytes of graph and variables."""
    checkpoint = open_checkpoint(version)
    architecture = checkpoint.description.architecture(
        version_settings(checkpoint, record), checkpoint.tokenizer
    )
    if architecture.num_beams == 1:
        return tf.saved_model.load(str(version)).base, _size(version)
    architecture = replace(architecture, num_beams=1)
    model = build_model(architecture)
    checkpoint.load_into(model)
    decoder = Decoder(serving_graph(model, architecture), architecture)
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(decoder, directory)
        return tf.saved_model.load(directory), _size(Path(directory))


def _size(saved_model: Path) -> int:
    files = (each for each in saved_model.rglob("*") if each.is_file())
    own = (each for each in files if _CHECKPOINT not in each.parts)
    return sum(each.stat().st_size for each in own)


def _by_tensorflow(model: Any, record: MeteringRecord) -> Generate:
    def generate(ids: list[int]) -> tuple[list[int], bool]:
        read = ids[: record.max_input_tokens]
        row = tf.constant([read], tf.int32, shape=[1, len(read)])
        written = model.generate(row, tf.constant([len(read)]), tf.constant([0]))
        return written.numpy()[0].tolist(), False

    return generate


def _by_litert(summarizer: EdgeSummarizer) -> Generate:
    pad_id = summarizer.record.pad_id

    def generate(ids: list[int]) -> tuple[list[int], bool]:
        written, in_doubt = summarizer.generate(ids)
        return written[written != pad_id].tolist(), in_doubt

    return generate
