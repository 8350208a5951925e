"""The training loop: steps, validations, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from pipelines.models.architecture import Architecture
from pipelines.models.copying import start_copying
from pipelines.models.families import build_model
from pipelines.training.checkpoints import TrainingCheckpoints, read_history, write_history
from pipelines.training.dataset import (
    BATCH_SIGNATURE,
    Batch,
    training_batches,
    validation_batches,
)
from pipelines.training.loss import masked_cross_entropy
from pipelines.training.optimization import build_optimizer
from pipelines.training.progress import HISTORY_FILE, Progress
from pipelines.training.settings import TrainingSettings


class TrainingDivergedError(RuntimeError):
    """The loss is no number any more. A lower learning rate may help; a retry will not."""


def train(
    architecture: Architecture,
    settings: TrainingSettings,
    train_files: Sequence[str],
    eval_files: Sequence[str],
    state_dir: Path,
    run_dir: Path,
    load_weights: Callable[[keras.Model], None] | None = None,
) -> tuple[keras.Model, TrainingCheckpoints]:
    """Train a model, or go on with one that was interrupted.

    Args:
      architecture: what to build.
      settings: how to train it.
      train_files, eval_files: GZIP TFRecords of transformed examples.
      state_dir: where this very run keeps its checkpoints; see ``training_key``.
      run_dir: where ``history.jsonl`` and TensorBoard events go.
      load_weights: sets the weights that training starts from; random ones without it.

    Returns:
      The model with the weights of its best validation, and the checkpoints, which the
      caller removes once the model is exported.

    Raises:
      TrainingDivergedError: the loss became infinite or no number.
      ValueError: there are no validation examples.
    """
    keras.utils.set_random_seed(settings.seed)
    model = build_model(architecture)
    if load_weights:
        load_weights(model)
    if settings.start_copying:
        start_copying(model, architecture, settings.seed)
    optimizer = build_optimizer(settings)
    optimizer.build(model.trainable_variables)
    checkpoints = TrainingCheckpoints(state_dir, model, optimizer)
    done = checkpoints.resume()
    # Kept beside the checkpoints, for another attempt may have another run_dir.
    kept = state_dir / HISTORY_FILE
    progress = Progress(run_dir, settings.steps, done, read_history(kept, done))

    batches = training_batches(
        train_files,
        architecture,
        settings.batch_size,
        settings.seed,
        lead_steps=settings.lead_steps,
        lead_share=settings.lead_share,
        min_overlap=settings.min_overlap,
    )
    validation = validation_batches(
        eval_files, architecture, settings.batch_size, settings.validation_examples
    )
    train_step = _train_step(model, optimizer, settings)
    validate = _validation(model)
    for step, batch in enumerate(batches.skip(done).take(settings.steps - done), done + 1):
        nats, labels = train_step(batch)
        examples = batch["labels"].shape[0]
        progress.stepped(step, float(nats), float(labels), examples)
        if step % settings.eval_every_steps == 0 or step == settings.steps:
            since = time.monotonic()
            loss = validate(validation)
            if not math.isfinite(loss):
                raise TrainingDivergedError(
                    f"the validation loss is {loss} after step {step}. Expected a number. "
                    f"Lower training.learning_rate ({settings.learning_rate}) or raise "
                    f"training.warmup_steps ({settings.warmup_steps})."
                )
            rate = float(optimizer.learning_rate)
            progress.validated(step, loss, checkpoints.is_best(loss), rate, since)
            # Before the checkpoint: rows past it are dropped on resuming, missing ones
            # would stay missing.
            write_history(kept, progress.history)
            checkpoints.save(step, loss)
    progress.close()
    checkpoints.restore_best()
    return model, checkpoints


def _train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, settings: TrainingSettings
) -> tf.types.experimental.PolymorphicFunction:
    variables = model.trainable_variables

    # One trace for all lengths: tracing a Keras model costs seconds. Compiling with XLA
    # costs ten and more for each shape, and was not faster after that.
    @tf.function(input_signature=[BATCH_SIGNATURE], autograph=False)
    def train_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = model(_inputs(batch), training=True)
            nats, labels = masked_cross_entropy(
                batch["labels"],
                batch["decoder_padding_mask"],
                logits,
                settings.label_smoothing,
            )
            loss = nats / labels
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return nats, labels

    return train_step


def _validation(model: keras.Model) -> Callable[[tf.data.Dataset], float]:
    @tf.function(input_signature=[BATCH_SIGNATURE], autograph=False)
    def losses(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(_inputs(batch), training=False)
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
                "there are no validation examples. Expected at least one transformed "
                "example in the eval split; raise corpus.eval_fraction or add documents."
            )
        return nats / labels

    return validate


def _inputs(batch: Batch) -> Batch:
    return {name: value for name, value in batch.items() if name != "labels"}
