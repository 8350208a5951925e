"""One step of training: gradients of a whole batch, at once or in parts, and their update."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipelines.training.dataset import BATCH_SIGNATURE, Batch
from pipelines.training.loss import masked_cross_entropy
from pipelines.training.settings import TrainingSettings
from pipelines.training.workers import Workers


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    settings: TrainingSettings,
    workers: Workers | None = None,
    *,
    compiled: bool = False,
) -> tf.types.experimental.PolymorphicFunction:
    """A function of a whole batch that makes a step; the batch's nats and labels.

    With ``compiled`` XLA compiles it, for each pair of lengths; every batch then has a multiple
    of ``accumulate_gradients`` rows.

    Every part's gradient is divided by the labels of the whole batch, so that their sum is the
    gradient of the batch whatever each part holds. Keras's own `gradient_accumulation_steps`
    takes the mean of means, which weighs a label by how full its part is, and keeps half-done
    steps in the optimizer, which a checkpoint would have to hold.
    """
    variables = model.trainable_variables
    values = [variable.value for variable in variables]
    parts = settings.accumulate_gradients

    def part_of(value: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
        if not compiled:
            return value[part::parts]
        # The same rows, in a shape that XLA can tell.
        return tf.gather(tf.reshape(value, [-1, parts, tf.shape(value)[1]]), part, axis=1)

    def gradients_of(rows: Batch, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = model(inputs_of(rows), training=True)
            nats, _ = masked_cross_entropy(
                rows["labels"], rows["decoder_padding_mask"], logits, settings.label_smoothing
            )
            loss = nats / labels
        # Dense, all of them: Keras's Adafactor takes another step for sparse ones, by the
        # size of those of their rows alone that are not 0.
        return nats, [tf.convert_to_tensor(each) for each in tape.gradient(loss, values)]

    def summed(rows: Batch, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One part after another: a loop, because parts that stand side by side in a graph
        are computed at the same time, and then are all in memory at once."""

        def add(
            part: tf.Tensor, nats: tf.Tensor, gradients: list[tf.Tensor]
        ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
            own = {name: part_of(value, part) for name, value in rows.items()}
            more, its = gradients_of(own, labels)
            both = [a + b for a, b in zip(gradients, its, strict=True)]
            return part + 1, nats + more, both

        zeros = [tf.zeros_like(value) for value in values]
        _, nats, gradients = tf.while_loop(
            lambda part, *_: part < parts,
            add,
            (tf.constant(0), tf.constant(0.0), zeros),
            parallel_iterations=1,
        )
        return nats, gradients

    # One trace for all lengths: tracing a Keras model costs seconds. XLA compiles each pair of
    # lengths separately, which takes longer, so there are few of them then.
    @tf.function(
        input_signature=[BATCH_SIGNATURE], autograph=False, jit_compile=compiled or None
    )
    def train_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        labels = tf.reduce_sum(tf.cast(batch["decoder_padding_mask"], tf.float32))
        rows = workers.share(batch) if workers else batch
        nats, gradients = (summed if parts > 1 else gradients_of)(rows, labels)
        if workers:
            *gradients, nats = workers.sum([*gradients, nats])
        optimizer.apply(gradients, variables)
        return nats, labels

    return train_step


def inputs_of(batch: Batch) -> Batch:
    """What a model takes of a batch."""
    return {name: value for name, value in batch.items() if name != "labels"}
