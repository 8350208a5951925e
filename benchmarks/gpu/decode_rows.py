"""The rows that are decoded; runs in both environments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.decode.cases import FIRST_ID, Shape

MOST_ROWS = 64


def rows_of(shape: Shape, batch: int, ids_in: int) -> npt.NDArray[np.int64]:
    """Rows as the encoder reads them; the first are those of `benchmarks.decode`."""
    random = np.random.default_rng(ids_in)
    ids = random.integers(FIRST_ID, shape.vocabulary_size, (MOST_ROWS, ids_in))
    ids[:, : len(shape.start_ids)] = shape.start_ids
    ids[:, -1] = shape.eos_id
    return ids[:batch]
