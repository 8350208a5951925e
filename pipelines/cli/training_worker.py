"""`tallygraph run` in a worker that is not the chief: it takes part in the chief's training."""

from __future__ import annotations

import os

from rich.markup import escape

from pipelines.cli.console import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    fail,
    logs_to_file,
)
from pipelines.cli.interrupts import interrupts_answered
from pipelines.layout import OutputLayout
from pipelines.training.cluster import Cluster


def train_as_worker(cluster: Cluster, layout: OutputLayout) -> int:
    """Wait until the chief trains, train with it, and return the command's exit code.

    Everything else of the pipeline is the chief's: corpus, settings of training and examples
    come from it. This worker only needs the same output folder at the same path.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    name = f"worker {cluster.index} of {len(cluster.addresses)}"
    log = layout.log_file.with_name(f"{layout.pipeline_name}-worker-{cluster.index}.log")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError as error:
        fail(
            f"Cannot write into the output folder {layout.output}: {error}. Expected: the "
            "chief's output folder at the same path, for example on a shared volume.",
            EXIT_BAD_INPUT,
        )
    with logs_to_file(log) as terminal:
        try:
            with interrupts_answered(terminal):
                terminal.print(f"{name}: waits until the chief, {cluster.addresses[0]}, trains")
                cluster.wait_for_chief()
                terminal.print(f"{name}: trains with it")
                from pipelines.training.loop import join_training
                from pipelines.training.workers import WorkerLostError

                try:
                    join_training(cluster)
                except WorkerLostError as error:
                    terminal.print(f"[bold red]failed:[/] {escape(str(error))}")
                    return EXIT_FAILED
        except KeyboardInterrupt:
            os._exit(EXIT_INTERRUPTED)
        terminal.print(f"{name}: training is complete")
    return 0
