"""A small SavedModel with the signatures and dtypes of a metered one, in plain TensorFlow.

A token is a word. It reads 8 of them and writes the first 4 in upper case, so that every
count can be told by looking: no training, no vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tests.support.made_once import made_once
from tokenizer.contract import MeteringRecord

MAX_INPUT_TOKENS = 8
MAX_OUTPUT_TOKENS = 4
TEXT = tf.TensorSpec([None], tf.string, name="text")
LIMIT = tf.TensorSpec([None], tf.int32, name="max_output_tokens")


def slept(seconds: float) -> tf.Tensor:
    """0, after so long, without work for a CPU. A server does one such at a time."""
    once = tf.data.experimental.to_variant(tf.data.Dataset.from_tensors(0))
    asleep = tf.raw_ops.SleepDataset(
        input_dataset=once,
        # It sleeps before its element, and before its end.
        sleep_microseconds=tf.constant(round(seconds * 1_000_000 / 2), tf.int64),
        output_types=[tf.int32],
        output_shapes=[[]],
    )
    dataset = tf.data.experimental.from_variant(asleep, tf.TensorSpec([], tf.int32))
    return dataset.reduce(0, tf.add)


class MeteredModel(tf.Module):
    """Upper-cases the first words; ``random`` makes it answer differently each time.

    With ``takes_s`` it takes so long for each request, one after the other.
    """

    def __init__(self, random: bool = False, xla: bool = False, takes_s: float = 0.0) -> None:
        super().__init__()
        self._random = random
        self._takes_s = takes_s
        self._smaller = tf.function(tf.minimum, jit_compile=True) if xla else tf.minimum

    @tf.function(input_signature=[TEXT, LIMIT])
    def summarize(self, text: tf.Tensor, max_output_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(text)
        total = tf.cast(words.row_lengths(), tf.int32)
        if self._takes_s:
            total += slept(self._takes_s)
        read = tf.minimum(total, MAX_INPUT_TOKENS)
        limit = tf.where(max_output_tokens > 0, max_output_tokens, MAX_OUTPUT_TOKENS)
        limit = tf.minimum(limit, MAX_OUTPUT_TOKENS)
        written = self._smaller(read, limit)
        places = tf.ragged.range(words.row_lengths())
        kept = tf.ragged.boolean_mask(
            words, tf.cast(places, tf.int32) < tf.expand_dims(written, 1)
        )
        summary = tf.strings.reduce_join(kept, axis=1, separator=" ")
        summary = tf.strings.upper(
            tf.strings.unicode_transcode(summary, "UTF-8", "UTF-8", errors="replace"),
            encoding="utf-8",
        )
        if self._random:
            noise = tf.as_string(tf.random.uniform(tf.shape(text), 0, 1000000, tf.int32))
            summary = tf.strings.join([summary, noise], separator=" ")
        return {
            "summary": summary,
            "input_tokens": read,
            "output_tokens": written,
            "total_tokens": read + written,
            "truncated_tokens": total - read,
            "finish_reason": tf.where(read <= limit, "stop", "length"),
        }

    @tf.function(input_signature=[TEXT])
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.summarize(text, tf.zeros(tf.shape(text), tf.int32))

    @tf.function(input_signature=[TEXT])
    def count_tokens(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = self.serve(text)
        return {name: outputs[name] for name in ("input_tokens", "truncated_tokens")}


@made_once
def export_metered_model(
    path: Path,
    random: bool = False,
    without: str = "",
    warm_up: bool = True,
    xla: bool = False,
    takes_s: float = 0.0,
) -> None:
    """Write the model.

    Args:
      random: its summaries differ from call to call.
      without: a signature to leave out.
      warm_up: whether to add warm-up requests.
      xla: a piece of it is saved with jit_compile.
      takes_s: of each request, see `MeteredModel`.
    """
    module = MeteredModel(random, xla, takes_s)
    signatures = {
        "serving_default": module.serve,
        "summarize": module.summarize,
        "count_tokens": module.count_tokens,
    }
    signatures.pop(without, None)
    tf.saved_model.save(module, str(path), signatures=signatures)
    if warm_up:
        texts = [b"one two three", b"", "a b c d e f g h i \u00e9".encode()]
        write_warm_up(
            path,
            [
                ("serving_default", {"text": texts}),
                ("summarize", {"text": texts, "max_output_tokens": [0, 1, 2]}),
                ("count_tokens", {"text": texts}),
            ],
        )


def export_metered_version(path: Path, random: bool = False, takes_s: float = 0.0) -> None:
    """Write the model as a push leaves it: with what says how it counts."""
    export_metered_model(path, random=random, takes_s=takes_s)
    MeteringRecord(
        contract_version=1,
        model_family="words",
        tokenizer_kind="words",
        tokenizer_fingerprint="f" * 64,
        vocabulary_size=1,
        max_input_tokens=MAX_INPUT_TOKENS,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        task_prefix="",
        pipeline_run="none",
        spans=(),
        code_version="none",
    ).save(path)


def write_warm_up(path: Path, requests: list[tuple[str, dict[str, list[Any]]]]) -> None:
    """Add warm-up requests to a SavedModel: a signature and its inputs each."""
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "summarizer"
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                dtype = tf.int32 if name == "max_output_tokens" else tf.string
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype=dtype))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
