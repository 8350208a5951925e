"""Options for batching requests, read from a ``BatchingParameters`` text proto and checked."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from serving.config_protos import BatchingParameters
from serving.model_server.config import read_text_proto
from serving.model_server.errors import ServingError, invalid_argument

PER_MODEL_FILE = "batching_params.pbtxt"
# TensorFlow Serving's, without a file and with a file that names no pool.
POOL_WITHOUT_FILE = "model_server_batch_threads"
POOL_WITH_FILE = "batch_threads"


@dataclass(frozen=True)
class BatchingOptions:
    """Options for one model's queues, and for the threads of all; the defaults are TensorFlow
    Serving's.

    Attributes:
      max_batch_size: maximum number of rows of a batch, and of a request.
      batch_timeout_micros: longest time that a batch's first request waits for others.
      max_enqueued_batches: number of batches of a queue that may wait for a thread, including
        the open one.
      num_batch_threads: number of batches that are computed at the same time, of all models.
      thread_pool_name: those threads' name, and a label of the metrics.
      allowed_batch_sizes: the sizes that batches are padded to; empty for any size.
      pad_variable_length_inputs: pad inner dimensions that differ between requests, instead
        of refusing the batch.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    thread_pool_name: str = POOL_WITHOUT_FILE
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def padded_size(self, rows: int) -> int:
        """Return the size with which a batch of this many rows is computed."""
        if not self.allowed_batch_sizes:
            return rows
        return self.allowed_batch_sizes[bisect_left(self.allowed_batch_sizes, rows)]


def read_batching_options(path: str) -> BatchingOptions:
    """Read a ``--batching_parameters_file``; the defaults if the path is empty.

    Raises:
      ServingError: the file is missing, not a text proto of BatchingParameters, or a value in
        it is not valid.
    """
    if not path:
        return BatchingOptions()
    parameters = BatchingParameters()
    read_text_proto(path, parameters, "BatchingParameters")
    try:
        return _checked(parameters)
    except ServingError as error:
        raise invalid_argument(f"{path}: {error.message}") from None


def read_model_batching_options(
    version_path: Path, common: BatchingOptions
) -> BatchingOptions | None:
    """Read the parameters in a version's folder; None if it has none and is not batched.

    Args:
      version_path: the version's folder.
      common: the server's options, of which those for the threads apply to every model.

    Raises:
      ServingError: as ``read_batching_options``.
    """
    path = version_path / PER_MODEL_FILE
    if not path.exists():
        return None
    own = read_batching_options(str(path))
    return BatchingOptions(
        max_batch_size=own.max_batch_size,
        batch_timeout_micros=own.batch_timeout_micros,
        max_enqueued_batches=own.max_enqueued_batches,
        num_batch_threads=common.num_batch_threads,
        thread_pool_name=common.thread_pool_name,
        allowed_batch_sizes=own.allowed_batch_sizes,
        pad_variable_length_inputs=own.pad_variable_length_inputs,
    )


def _checked(parameters: Any) -> BatchingOptions:
    given = {
        name: getattr(parameters, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
            "thread_pool_name",
        )
        if parameters.HasField(name)
    }
    options = BatchingOptions(
        **{"thread_pool_name": POOL_WITH_FILE, **given},
        allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
        pad_variable_length_inputs=parameters.pad_variable_length_inputs,
    )
    for name in ("max_batch_size", "num_batch_threads"):
        if getattr(options, name) < 1:
            raise invalid_argument(f"{name} must be positive; was {getattr(options, name)}")
    for name in ("batch_timeout_micros", "max_enqueued_batches"):
        if getattr(options, name) < 0:
            raise invalid_argument(f"{name} must be non-negative; was {getattr(options, name)}")
    _check_sizes(options)
    return options


def _check_sizes(options: BatchingOptions) -> None:
    sizes = options.allowed_batch_sizes
    if not sizes:
        return
    if sizes[0] < 1:
        raise invalid_argument(f"allowed_batch_sizes must be positive; first was {sizes[0]}")
    if any(after <= before for before, after in pairwise(sizes)):
        raise invalid_argument(
            "allowed_batch_sizes entries must be monotonically increasing; were "
            f"{', '.join(map(str, sizes))}"
        )
    if sizes[-1] != options.max_batch_size:
        raise invalid_argument(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {options.max_batch_size}"
        )
