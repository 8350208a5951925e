"""The server that is measured, a process of its own, set up with and without batching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf import text_format

from benchmarks.serve.subject import Subject
from serving.config_protos import BatchingParameters
from serving.engines import RunningServer, ServerSpec, choose_engine

START_TIMEOUT_S = 120.0
MAX_BATCH_SIZE = 32
# A small part of what the summariser takes for one text.
BATCH_TIMEOUT_US = 1_000
# Nobody is to be refused: more batches than there are clients.
MAX_ENQUEUED_BATCHES = 1_000


def batching_parameters(threads: int) -> str:
    """Text proto of how requests are put together, on one line."""
    parameters = BatchingParameters()
    parameters.max_batch_size.value = MAX_BATCH_SIZE
    parameters.batch_timeout_micros.value = BATCH_TIMEOUT_US
    parameters.max_enqueued_batches.value = MAX_ENQUEUED_BATCHES
    parameters.num_batch_threads.value = threads
    return text_format.MessageToString(parameters, as_one_line=True)


@contextmanager
def running_server(
    subject: Subject, *, threads: int, logs: Path, batching: str = ""
) -> Iterator[RunningServer]:
    """Start the local model server and wait until it serves.

    Args:
      threads: TensorFlow's, within an op and for so many ops at a time.
      logs: folder for the server's log.
      batching: text proto of ``BatchingParameters``; empty for none.

    Raises:
      EngineError: it does not start.
    """
    name = f"{subject.name}-batched" if batching else subject.name
    flags = {"tensorflow_session_parallelism": str(threads)}
    logs.mkdir(parents=True, exist_ok=True)
    if batching:
        file = logs / "batching.config"
        file.write_text(batching + "\n", encoding="utf-8")
        flags |= {"enable_batching": "true", "batching_parameters_file": str(file.absolute())}
    spec = ServerSpec.single(subject.name, subject.base, flags, log_file=logs / f"{name}.log")
    with choose_engine("local").start(spec) as server:
        server.wait_until_available(START_TIMEOUT_S)
        yield server
