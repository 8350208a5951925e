"""One of several workers that train together: ``python -m`` this, with a job's file.

``TF_CONFIG`` says which one. The chief's progress goes to standard output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import tensorflow as tf

from pipelines.training.cluster import Cluster
from pipelines.training.loop import TrainingJob, train_here
from pipelines.training.workers import PROGRESS, WorkerLostError, Workers


def main(file: str) -> None:
    """Train as the job says.

    Raises:
      WorkerLostError: another worker cannot be reached any more.
    """
    logging.basicConfig(stream=sys.stdout, format=f"{PROGRESS}%(message)s")
    logging.getLogger("tallygraph.training").setLevel(logging.INFO)
    job = TrainingJob.from_json(json.loads(Path(file).read_text(encoding="utf-8")))
    cluster = Cluster.from_environment(os.environ, job.settings.workers)
    assert cluster is not None
    workers = Workers(cluster)
    try:
        train_here(job, workers)
    except tf.errors.OpError as error:
        # Its class is the first symptom's: a closed connection, a missed heartbeat, ...
        if "Collective ops is aborted" not in error.message:
            raise
        raise WorkerLostError(
            f"another worker of {', '.join(cluster.addresses)} cannot be reached any more. "
            "Expected all of them until training ends. Start all again: training goes on "
            f"from its last checkpoint. TensorFlow says: {error.message}"
        ) from None


if __name__ == "__main__":
    main(sys.argv[1])
