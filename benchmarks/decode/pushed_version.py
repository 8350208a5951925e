"""A version that the pipeline pushed, as a model, and the documents that its run held out."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Final

import keras

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.models.architecture import Architecture
from pipelines.models.families import build_model
from tokenizer.contract import METERING_FILE

EVAL_FILES: Final = "eval*.jsonl"
_METERED: Final = ("max_input_tokens", "max_output_tokens", "task_prefix")
NO_REPEAT: Final = "no_repeat_ngram_size"


def open_pushed(version: Path) -> tuple[Checkpoint, Architecture]:
    """Open a version's weights, without reading them.

    Args:
      version: the version's folder.

    Returns:
      The weights, and the architecture with the limits and the task prefix that the version was
      metered with. It searches greedily, with `NO_REPEAT` of the version's own rules alone.
    """
    checkpoint = open_checkpoint(version)
    record = json.loads((version / METERING_FILE).read_text(encoding="utf-8"))
    metered = {name: record[name] for name in _METERED}
    metered[NO_REPEAT] = checkpoint.generation.settings.get(NO_REPEAT, 0)
    return checkpoint, checkpoint.description.architecture(metered, checkpoint.tokenizer)


def held_out_rows(
    corpus: Path, checkpoint: Checkpoint, architecture: Architecture, documents: int
) -> list[list[int]]:
    """Ids of held-out documents, so many at most, each cut off at its limit.

    Raises:
      SystemExit: the corpus has no held-out document.
    """
    texts = (
        json.loads(line)["document"]
        for file in sorted(corpus.glob(EVAL_FILES))
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    rows = [
        checkpoint.tokenizer.encode(text)[: architecture.max_input_tokens]
        for text in islice(texts, documents)
    ]
    if not rows:
        raise SystemExit(f"{corpus} has no document in {EVAL_FILES}")
    return rows


def open_version(
    version: Path, corpus: Path, documents: int
) -> tuple[keras.Model, Architecture, list[list[int]]]:
    """Load a version's weights, and encode held-out documents.

    Args:
      version: the version's folder.
      corpus: the folder of its corpus.
      documents: so many at most.

    Returns:
      The model, its architecture as by `open_pushed`, and each document's ids, cut off at its
      limit.

    Raises:
      SystemExit: the corpus has no held-out document.
    """
    checkpoint, architecture = open_pushed(version)
    model = build_model(architecture)
    checkpoint.load_into(model)
    return model, architecture, held_out_rows(corpus, checkpoint, architecture, documents)
