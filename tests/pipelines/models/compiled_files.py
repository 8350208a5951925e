"""Prints how many compiled parts there are after requests for one step, and after others.

    TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=FOLDER python -m ... FOLDER ROWS...

TensorFlow reads its flags when it is loaded, so this is a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipelines.models import decoder
from pipelines.models.decoding import Decoder
from pipelines.models.families import serving_graph
from pipelines.models.shapes import CompiledShapes
from tests.pipelines.models.random_models import answers, random_model, random_rows, small


def main(folder: Path, sizes: tuple[int, ...]) -> None:
    """Answer, and print both numbers."""
    decoder._LARGE = 0  # type: ignore[misc]
    architecture = small("t5")
    graph = serving_graph(random_model(architecture), architecture)
    shapes = CompiledShapes.of(architecture, sizes, (16,))
    compiled = Decoder(graph, architecture, xla=shapes, draft_tokens=2)
    ids, length = random_rows(architecture, sizes[-1], seed=9)
    for rows in sizes:
        for width in (5, architecture.max_input_tokens):
            wide = np.full(rows, width, "int32")
            answers(compiled, ids[:rows], wide, [1] * rows)
    print(len(list(folder.iterdir())))
    limits = np.random.default_rng(9).integers(1, 13, sizes[-1]).astype("int32")
    for rows in range(1, sizes[-1] + 1):
        answers(compiled, ids[:rows], length[:rows], limits[:rows])
    print(len(list(folder.iterdir())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), tuple(map(int, sys.argv[2:])))
