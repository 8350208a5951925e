"""Compares the decode graph with keras-hub, id for id, on held-out documents.

    python -m benchmarks.equality VERSION CORPUS

VERSION is a version that the pipeline pushed, CORPUS the folder of its corpus. Both
implementations decode greedily from the weights that the version carries, ours 32 documents at
a time and each alone with drafts (`export.draft_tokens`). Exit code 1 where the ids of a row
differ though no decision of it was too close for rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.equality.keras_hub_answers import keras_hub_answers
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tokenizer.contract import METERING_FILE

BATCH = 32
DRAFTED = 2
EVAL_FILES = "eval*.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", type=Path)
    parser.add_argument("corpus", type=Path)
    arguments = parser.parse_args()
    checkpoint = open_checkpoint(arguments.version)
    record = json.loads((arguments.version / METERING_FILE).read_text(encoding="utf-8"))
    limits = {name: record[name] for name in ("max_input_tokens", "max_output_tokens")}
    architecture = checkpoint.description.architecture(limits, checkpoint.tokenizer)
    model = build_model(architecture)
    checkpoint.load_into(model)
    decoder = Decoder(
        serving_graph(model, architecture),
        architecture,
        draft_tokens=DRAFTED,
    )
    documents = [
        json.loads(line)["document"]
        for file in sorted(arguments.corpus.glob(EVAL_FILES))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    if not documents:
        raise SystemExit(f"{arguments.corpus} has no document in {EVAL_FILES}")
    rows = [
        checkpoint.tokenizer.encode(text)[: architecture.max_input_tokens] for text in documents
    ]
    different, close = 0, 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        length = np.array([len(row) for row in batch], "int32")
        ids = np.full((len(batch), max(1, length.max())), architecture.pad_id, "int32")
        for row, own in zip(ids, batch, strict=True):
            row[: len(own)] = own
        expected = keras_hub_answers(model, architecture, batch)
        limit = np.zeros_like(length)
        doubtful = decoder.in_doubt(ids, length).numpy()
        together = decoder.generate(ids, length, limit).numpy().tolist()
        alone = [
            decoder.generate(ids[i : i + 1], length[i : i + 1], limit[:1]).numpy()[0].tolist()
            for i in range(len(batch))
        ]
        for first, second, other, doubt in zip(
            together, alone, expected, doubtful, strict=True
        ):
            written = [
                [each for each in ids if each != architecture.pad_id] for ids in (first, second)
            ]
            if written != [other, other]:
                different, close = different + (not doubt), close + bool(doubt)
    print(
        f"{len(rows)} held-out documents: {len(rows) - different - close} answers are the same "
        f"ids, {close} differ where two scores were all but equal, {different} differ otherwise"
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
