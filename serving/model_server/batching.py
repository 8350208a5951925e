"""Batching for the whole server: the threads, and which models are batched how."""

from __future__ import annotations

from serving.model_server.batch_scheduler import BatchScheduler
from serving.model_server.batching_options import (
    BatchingOptions,
    read_model_batching_options,
)
from serving.model_server.metrics import Metrics
from serving.model_server.model_batcher import ModelBatcher
from serving.model_server.saved_model import LoadedModel


class Batching:
    """What ``--enable_batching`` switches on; one for a process."""

    def __init__(self, options: BatchingOptions, per_model: bool, metrics: Metrics) -> None:
        """
        Args:
          options: of every model, or, with ``per_model``, of the threads only.
          per_model: whether each version's folder says how it is batched.
        """
        self._options = options
        self._per_model = per_model
        self._metrics = metrics
        self._scheduler = BatchScheduler(options.num_batch_threads, options.thread_pool_name)

    def add(self, model: LoadedModel) -> None:
        """Batch a model, as the server's parameters or its own say.

        Raises:
          ServingError: the model's own parameters are wrong.
        """
        options: BatchingOptions | None = self._options
        if self._per_model:
            options = read_model_batching_options(model.path, self._options)
        if options is not None:
            model.batcher = ModelBatcher(model.compute, self._scheduler, options, self._metrics)

    def drain(self) -> None:
        """Compute what waits at once: nothing will come to fill a batch."""
        self._scheduler.drain()

    def stop(self) -> None:
        """Refuse what still waits, and end the threads."""
        self._scheduler.stop()
