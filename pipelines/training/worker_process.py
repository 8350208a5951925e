"""One of several workers that train together: ``python -m`` this module.

``TF_CONFIG`` says which worker it is. The chief has the job in a file, and sends it to the
others, so that no worker trains with other settings than the rest. The chief prints its
progress to standard output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Final

import tensorflow as tf

from pipelines.training.cluster import Cluster
from pipelines.training.job import TrainingJob
from pipelines.training.loop import train_here
from pipelines.training.standing import LOGGER, LineFormatter
from pipelines.training.workers import PROGRESS, WorkerLostError, Workers

_ABORTED: Final = "Collective ops is aborted"


def main(count: int, file: str = "") -> None:
    """Train as the chief's job says.

    Args:
      count: workers of the cluster.
      file: with the job as JSON; empty in a worker that is not the chief.

    Raises:
      WorkerLostError: another worker can no longer be reached.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter(PROGRESS))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    cluster = Cluster.from_environment(os.environ, count)
    assert cluster is not None
    own = Path(file).read_text(encoding="utf-8") if file else ""
    workers = Workers(cluster)
    try:
        job = TrainingJob.from_json(json.loads(workers.chief_sends(own)))
        train_here(job, workers)
    except tf.errors.OpError as error:
        # Its class is the first symptom's: a closed connection, a missed heartbeat, ...
        said = [line for line in error.message.splitlines() if _ABORTED in line]
        if not said:
            raise
        raise WorkerLostError(
            f"another worker of {', '.join(cluster.addresses)} can no longer be reached. "
            "Expected: all of them until training ends. Start all of them again: training "
            f"continues from its last checkpoint. TensorFlow reports: {said[0]}"
        ) from None


def _end_with_parent() -> None:
    """However the process that started this one ends, its end of the pipe is closed then.

    A worker that outlived it would go on writing checkpoints beside the next attempt's.
    """
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
