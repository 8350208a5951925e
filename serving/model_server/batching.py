"""Batching for the whole server: the threads, and the batching of each model."""

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
    """The batching that ``--enable_batching`` enables; one instance per process."""

    def __init__(self, options: BatchingOptions, per_model: bool, metrics: Metrics) -> None:
        """
        Args:
          options: for every model, or, with ``per_model``, only for the threads.
          per_model: whether each version's folder defines how it is batched.
        """
        self._options = options
        self._per_model = per_model
        self._metrics = metrics
        self._scheduler = BatchScheduler(options.num_batch_threads, options.thread_pool_name)

    def add(self, model: LoadedModel) -> None:
        """Batch a model according to the server's or the model's own parameters.

        Raises:
          ServingError: the model's own parameters are not valid.
        """
        options: BatchingOptions | None = self._options
        if self._per_model:
            options = read_model_batching_options(model.path, self._options)
        if options is not None:
            model.batcher = ModelBatcher(model.compute, self._scheduler, options, self._metrics)

    def drain(self) -> None:
        """Compute waiting requests at once, because no more will come to fill a batch."""
        self._scheduler.drain()

    def stop(self) -> None:
        """Reject requests that still wait, and end the threads."""
        self._scheduler.stop()
