"""keras-hub's `generate` of the same Keras model. Variant: ``default`` or ``jitted``."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks.decode.cases import Rows
from benchmarks.decode.engine_loop import Generate, Ids, Job, run_engine
from benchmarks.decode.subject import load_keras_model, open_subject


def load(job: Job) -> tuple[str, Generate]:
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    checkpoint, architecture = open_subject(job.shape, job.directory)
    model = load_keras_model(checkpoint, architecture)
    options = {"jit_compile": True} if job.variant == "jitted" else {}
    model.compile(sampler="greedy", **options)

    def generate(rows: Rows, ids_out: int) -> Ids:
        decoder = np.zeros((len(rows.ids), ids_out + 1), "int32")
        decoder[:, 0] = architecture.decoder_start_id
        mask = np.zeros_like(decoder)
        mask[:, 0] = 1
        written = model.generate(
            {
                "encoder_token_ids": tf.constant(rows.ids, tf.int32),
                "encoder_padding_mask": tf.sequence_mask(rows.length, dtype=tf.int32),
                "decoder_token_ids": tf.constant(decoder),
                "decoder_padding_mask": tf.constant(mask),
            },
            stop_token_ids=[job.shape.eos_id],
        )
        return np.asarray(written["decoder_token_ids"])[:, 1:]

    about = (
        f"keras-hub {keras_hub.__version__} on Keras {keras.__version__} and TensorFlow "
        f"{tf.__version__}: `generate` with the greedy sampler, after `compile` "
        f"{'with jit_compile=True' if options else 'as it is by default'} "
        f"(jit_compile is {model.jit_compile})"
    )
    return about, generate


if __name__ == "__main__":
    run_engine(load)
