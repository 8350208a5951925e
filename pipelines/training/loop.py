"""The training loop: steps, validations, checkpoints."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Final

import keras
import numpy as np
import tensorflow as tf

from pipelines.models.copying import start_copying
from pipelines.models.families import build_model
from pipelines.training.averaging import WeightAverage
from pipelines.training.checkpoints import TrainingCheckpoints, read_history, write_history
from pipelines.training.cluster import Cluster
from pipelines.training.dataset import (
    BATCH_SIGNATURE,
    MOST_LENGTHS,
    Batch,
    training_batches,
    validation_batches,
)
from pipelines.training.dropout import use_byte_dropout
from pipelines.training.execution import PLAIN, Execution
from pipelines.training.job import TrainingJob
from pipelines.training.lora import add_lora, merge_lora, trained_share
from pipelines.training.loss import masked_cross_entropy
from pipelines.training.optimization import build_optimizer
from pipelines.training.progress import HISTORY_FILE, Progress
from pipelines.training.settings import TrainingSettings
from pipelines.training.standing import LOGGER
from pipelines.training.train_step import inputs_of, make_train_step
from pipelines.training.workers import Workers, run_workers

_WORKER_MODULE: Final = "pipelines.training.worker_process"


class TrainingDivergedError(RuntimeError):
    """The loss is no longer a number. A lower learning rate may help; a retry will not."""


def train(
    job: TrainingJob, load_weights: Callable[[keras.Model], None] | None = None
) -> tuple[keras.Model, TrainingCheckpoints] | None:
    """Train a model, or continue an interrupted training.

    Args:
      job: what to train.
      load_weights: sets the weights that training starts from; random ones without it.

    Returns:
      The model with the weights of its best validation, those of LoRA merged into its own, and
      the checkpoints, which the caller removes once the model is exported. None in a worker
      that is not the cluster's chief, because it exports nothing.

    Raises:
      TrainingDivergedError: the loss became infinite or NaN.
      WorkerLostError: one of several workers ended before training was complete.
      ValueError: there are no validation examples, or ``TF_CONFIG`` names another cluster.
    """
    count = job.settings.workers
    cluster = Cluster.from_environment(os.environ, count)
    if count == 1:
        train_here(job, load_weights=load_weights)
    elif cluster and not cluster.is_chief:
        join_training(cluster)
        return None
    else:
        _train_in_workers(job, cluster, load_weights)
    training = Training(job, execution=PLAIN)
    training.checkpoints.restore_best()
    model = training.model
    if job.settings.lora_rank:
        model = merge_lora(model, job.architecture)
    return model, training.checkpoints


def join_training(cluster: Cluster) -> None:
    """Train as one of a cluster's workers that is not its chief, whose job the chief sends.

    Raises:
      WorkerLostError: this worker or another one ended before training was complete.
    """
    run_workers(_WORKER_MODULE, None, cluster, len(cluster.addresses))


def _train_in_workers(
    job: TrainingJob,
    cluster: Cluster | None,
    load_weights: Callable[[keras.Model], None] | None,
) -> None:
    """Train as the chief, or in workers that are all on this machine."""
    job.state_dir.mkdir(parents=True, exist_ok=True)
    # Beside the checkpoints, because workers on other machines see nothing else of this one.
    with tempfile.TemporaryDirectory(dir=job.state_dir) as directory:
        if load_weights:
            job = replace(job, initial_weights=f"{directory}/initial.npz")
            keras.utils.set_random_seed(job.settings.seed)  # of what it does not set
            model = build_model(job.architecture)
            load_weights(model)
            np.savez(job.initial_weights, *model.get_weights())
        run_workers(_WORKER_MODULE, job.to_json(), cluster, job.settings.workers)


def train_here(
    job: TrainingJob,
    workers: Workers | None = None,
    load_weights: Callable[[keras.Model], None] | None = None,
) -> None:
    """Train in this process, alone or as one of several workers; the checkpoints get the
    weights."""
    training = Training(job, workers, load_weights)
    done = training.checkpoints.resume()
    if workers:
        workers.agree_on(done)
    with training.execution.running():
        if workers is None or workers.cluster.is_chief:
            _with_validations(training, job, done)
        else:
            for _ in training.steps(done):
                pass


def _with_validations(training: Training, job: TrainingJob, done: int) -> None:
    """Make the steps, and all that is done once for all workers."""
    settings, checkpoints = job.settings, training.checkpoints
    # Kept beside the checkpoints, for another attempt may have another run_dir.
    kept = job.state_dir / HISTORY_FILE
    progress = Progress(job.run_dir, settings, done, read_history(kept, done))
    if settings.lora_rank:
        share = trained_share(training.model)
        LOGGER.info("LoRA of rank %d trains %s", settings.lora_rank, share)
    validate = _validation(training.model)
    validation = validation_batches(
        job.eval_files,
        job.architecture,
        settings.batch_size // settings.accumulate_gradients,
        settings.validation_examples,
    )
    step = done
    with closing(progress):
        for step, nats, labels in training.steps(done):
            progress.stepped(step, float(nats), float(labels), settings.batch_size)
            if not settings.validates_after(step):
                continue
            since = time.monotonic()
            with training.averaged_weights():
                loss = _finite(validate(validation), step, settings)
                best = checkpoints.validated(step, loss)
            progress.validated(step, loss, best, float(training.optimizer.learning_rate), since)
            # Before the checkpoint: rows past it are dropped on resuming, missing ones
            # would stay missing.
            write_history(kept, progress.history)
            checkpoints.save_latest(step)
        if step < settings.steps:
            best_loss = float(checkpoints.best_loss.numpy())
            progress.stopped_early(step, best_loss, checkpoints.best_step)


class Training:
    """The model, the optimizer and everything else that changes with the steps; the same in
    every worker."""

    def __init__(
        self,
        job: TrainingJob,
        workers: Workers | None = None,
        load_weights: Callable[[keras.Model], None] | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Start from the beginning; ``checkpoints.resume`` continues from a checkpoint."""
        settings = job.settings
        self._job = job
        self._workers = workers
        self.execution = execution or Execution.of(settings)
        keras.utils.set_random_seed(settings.seed)
        with self.execution.building():
            self.model = build_model(job.architecture)
        if load_weights:
            load_weights(self.model)
        if job.initial_weights:
            with np.load(job.initial_weights) as arrays:
                self.model.set_weights([arrays[name] for name in arrays.files])
        use_byte_dropout(self.model, stream=workers.cluster.index if workers else 0)
        if settings.lora_rank:
            add_lora(self.model, settings.lora_rank)
        if settings.start_copying:
            start_copying(self.model, job.architecture, settings.seed)
        self.optimizer = build_optimizer(settings)
        self.optimizer.build(self.model.trainable_variables)
        self._average = None
        if settings.average_decay:
            weights = [variable.value for variable in self.model.trainable_variables]
            self._average = WeightAverage(weights, settings.average_decay)
        averages = self._average.variables if self._average else ()
        self.checkpoints = TrainingCheckpoints(
            job.state_dir, self.model, self.optimizer, averages
        )

    def averaged_weights(self) -> AbstractContextManager[None]:
        """Give the model, inside the block, the weights that are validated and exported."""
        return self._average.in_place() if self._average else nullcontext()

    def steps(self, done: int) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        """Run the steps after ``done`` up to the last, one for each iteration; fewer if
        ``patience`` is exhausted.

        Yields:
          The step's number, its batch's cross-entropy in nats, and its labels.
        """
        if self._is_over():  # and was killed before the export
            return
        settings, compiled = self._job.settings, self.execution.compiled
        batches = training_batches(
            self._job.train_files,
            self._job.architecture,
            settings.batch_size,
            settings.seed,
            lead_steps=settings.lead_steps,
            lead_share=settings.lead_share,
            min_overlap=settings.min_overlap,
            lengths=settings.compiled_lengths if compiled else MOST_LENGTHS,
        )
        train_step = make_train_step(
            self.model, self.optimizer, settings, self._workers, compiled=compiled
        )
        batches = batches.skip(done).take(settings.steps - done)
        for step, batch in enumerate(batches, done + 1):
            nats, labels = train_step(batch)
            if self._average:
                self._average.stepped(step)
            yield step, nats, labels
            if settings.validates_after(step) and self._is_over():
                return

    def _is_over(self) -> bool:
        """Whether ``patience`` is exhausted; asked in all workers at the same time, of which
        only the chief has validated."""
        patience = self._job.settings.patience
        over = 0 < patience <= int(self.checkpoints.without_gain.numpy())
        return self._workers.chief_says(over) if patience and self._workers else over


def _finite(loss: float, step: int, settings: TrainingSettings) -> float:
    if not math.isfinite(loss):
        raise TrainingDivergedError(
            f"the validation loss is {loss} after step {step}. Expected: a finite number. "
            f"Lower training.learning_rate ({settings.learning_rate}) or raise "
            f"training.warmup_steps ({settings.warmup_steps})."
        )
    return loss


def _validation(model: keras.Model) -> Callable[[tf.data.Dataset], float]:
    @tf.function(input_signature=[BATCH_SIGNATURE], autograph=False)
    def losses(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(inputs_of(batch), training=False)
        return masked_cross_entropy(batch["labels"], batch["decoder_padding_mask"], logits)

    def validate(batches: tf.data.Dataset) -> float:
        """Mean cross-entropy in nats a label."""
        nats = labels = 0.0
        for batch in batches:
            batch_nats, batch_labels = losses(batch)
            nats += float(batch_nats)
            labels += float(batch_labels)
        if not labels:
            raise ValueError(
                "there are no validation examples. Expected: at least one transformed "
                "example in the eval split. Raise corpus.eval_fraction or add documents."
            )
        return nats / labels

    return validate
