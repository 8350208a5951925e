"""Several processes that train one model: each computes a part of every batch's gradient.

All workers build the same model from the same seed or checkpoint and read the same batches.
Worker ``i`` of ``n`` computes the gradient of rows ``i, i + n, ...``; the sums over the
workers are the gradient of the whole batch, which each of them applies. So the weights are the
same everywhere, and training on several workers gives the same result as on one, except for
rounding and the random draws of dropout.

``tf.distribute.MultiWorkerMirroredStrategy`` computes the sum. Its collective operations must
be set up before a process runs anything else, which neither a pipeline runner nor a test can
guarantee; so training on several workers runs in separate processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import tensorflow as tf

from pipelines.training.cluster import TF_CONFIG, Cluster
from pipelines.training.standing import log_again
from serving.engines.base import HeldPorts

_LAST_LINES: Final = 12
_POLL_S: Final = 0.1
_LAST_WORDS_S: Final = 5.0  # for what a worker wrote before it ended
_GRACE_S: Final = 15.0  # for the others to say by themselves that they have lost one
_ROOT: Final = Path(__file__).parents[2]


class WorkerLostError(RuntimeError):
    """A worker ended before training was complete. If started again, training continues from
    its checkpoint."""


class Workers:
    """This process's part in the sum; create it before TensorFlow does anything else."""

    def __init__(self, cluster: Cluster) -> None:
        os.environ[TF_CONFIG] = cluster.config
        self.cluster = cluster
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy(
            communication_options=tf.distribute.experimental.CommunicationOptions(
                implementation=tf.distribute.experimental.CommunicationImplementation.RING
            )
        )

    def share(self, rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return this worker's rows of a batch."""
        count = len(self.cluster.addresses)
        return {name: value[self.cluster.index :: count] for name, value in rows.items()}

    def sum(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the sums over all workers; call it inside a ``tf.function``, in all workers at
        the same time."""

        def all_reduce() -> list[tf.Tensor]:
            replica = tf.distribute.get_replica_context()
            # Copies are on the replica's device, by which the strategy finds its peers.
            own = [tf.identity(tensor) for tensor in tensors]
            summed: list[tf.Tensor] = replica.all_reduce(tf.distribute.ReduceOp.SUM, own)
            return summed

        return list(self._strategy.run(all_reduce))

    def chief_says(self, value: bool) -> bool:
        """Return the value that the chief passes; call it in all workers at the same time."""
        return bool(self._sum_of(tf.constant(float(value and self.cluster.is_chief))))

    def chief_sends(self, text: str) -> str:
        """Return the text that the chief passes; call it in all workers at the same time."""
        own = text.encode() if self.cluster.is_chief else b""
        length = int(self._sum_of(tf.constant(float(len(own)))))
        codes = np.zeros(length, np.float32)
        codes[: len(own)] = np.frombuffer(own, np.uint8)

        @tf.function(autograph=False)
        def sent() -> tf.Tensor:
            return self.sum([tf.constant(codes)])[0]

        return bytes(sent().numpy().astype(np.uint8)).decode()

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)], autograph=False)
    def _sum_of(self, number: tf.Tensor) -> tf.Tensor:
        return self.sum([number])[0]

    def agree_on(self, step: int) -> None:
        """Check that all workers continue from the same step.

        Raises:
          ValueError: they do not, because they do not see the same checkpoints.
        """
        count = len(self.cluster.addresses)

        @tf.function(autograph=False)
        def steps() -> tf.Tensor:
            return self.sum([tf.one_hot(self.cluster.index, count) * float(step)])[0]

        found = [int(each) for each in steps().numpy()]
        if len(set(found)) > 1:
            raise ValueError(
                f"the workers would continue from different steps: {found}. Expected: the "
                "same step. All workers must see the same files under the pipeline's "
                "output folder, for example on a shared volume."
            )


def run_workers(
    module: str, job: Mapping[str, Any] | None, own: Cluster | None, count: int
) -> None:
    """Train in separate processes, and wait for them.

    Args:
      module: the module that each runs: ``python -m module COUNT``, the chief with the job in
        a file beside it. The others get it from the chief.
      job: JSON-able; None if ``own`` is not the chief's place.
      own: this process's place in a cluster: one process with that place is started. None: a
        whole cluster is started on this machine.
      count: workers of that cluster.

    Raises:
      WorkerLostError: one ended with an error; the message contains its last lines.
    """
    with (
        # Held until all have ended: no other program can get one before a worker listens there.
        closing(HeldPorts(0 if own else count)) as ports,
        tempfile.TemporaryDirectory() as directory,
    ):
        places = (own,) if own else Cluster.on_this_machine(ports.numbers)
        file = Path(directory) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        processes = [
            _Process([module, str(count), *([str(file)] if place.is_chief else [])], place)
            for place in places
        ]
        try:
            _wait(processes)
        finally:
            for each in processes:
                each.stop()


class _Process:
    """A worker process; the chief's lines are passed on as they come."""

    def __init__(self, arguments: Sequence[str], cluster: Cluster) -> None:
        self.cluster = cluster
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,  # never written to: its end tells of this process's
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=_ROOT,
            env={**os.environ, TF_CONFIG: cluster.config},
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            # Progress has a mark; the rest is TensorFlow's, of interest only after a failure.
            if line.startswith(PROGRESS):
                if self.cluster.is_chief:
                    log_again(line.removeprefix(PROGRESS))
            else:
                self.last_lines.append(line.rstrip())

    def status(self) -> int | None:
        return self._process.poll()

    def words(self) -> str:
        self._reader.join(timeout=_LAST_WORDS_S)
        return "\n".join(self.last_lines)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._reader.join(timeout=_LAST_WORDS_S)
        # Whoever inherited the other end may keep the reader waiting, and closing with it.
        if not self._reader.is_alive():
            self._process.stdout.close()


PROGRESS: Final = "progress: "  # begins a line of a worker that is for people


def _wait(processes: list[_Process]) -> None:
    failed: _Process | None = None
    give_up_at = float("inf")
    while any(each.status() is None for each in processes):
        if failed is None:
            failed = next((each for each in processes if each.status()), None)
            if failed:
                give_up_at = time.monotonic() + _GRACE_S
        if time.monotonic() > give_up_at:
            break
        time.sleep(_POLL_S)
    failed = failed or next((each for each in processes if each.status()), None)
    if failed is None:
        return
    cluster = failed.cluster
    raise WorkerLostError(
        f"worker {cluster.index} of {len(cluster.addresses)} "
        f"({cluster.addresses[cluster.index]}) ended with status {failed.status()} before "
        "training was complete. Expected: 0. Run again: training continues from its last "
        f"checkpoint. Its last lines:\n{failed.words()}"
    )
