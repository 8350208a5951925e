"""Warm-up requests, which a model server runs before it makes a version available.

See https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord of PredictionLog,
at most 1,000 records. A version whose warm-up fails never becomes available, so every
request is one that the model must be able to answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tokenizer import contract


def write_warmup_requests(
    model_dir: Path,
    model_name: str,
    texts: Sequence[str],
    max_output_tokens: int,
    compiled: Mapping[tuple[int, int], str] | None = None,
) -> None:
    """Write requests for every signature with batches of 1, 2, 4 … and all texts.

    Where the model is compiled by XLA they come after one for each shape, so that a server
    has compiled all of them before the version is AVAILABLE.

    Args:
      model_dir: the SavedModel that the requests are for.
      model_name: name that it is served under.
      texts: real documents; at least one.
      max_output_tokens: the model's limit, from which the limits for `summarize` are derived.
      compiled: for each shape, rows and width, a text of that width.
    """
    path = model_dir / contract.WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in itertools.chain(
            _compiling(model_name, compiled or {}),
            _requests(model_name, texts, max_output_tokens),
        ):
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())


def _compiling(
    model_name: str, compiled: Mapping[tuple[int, int], str]
) -> Iterator[predict_pb2.PredictRequest]:
    # One step of decoding is enough: it is compiled with all the others. And where all rows
    # ask for one step, the pass that decides doubtful rows is run, and so compiled, too.
    for (rows, _), text in compiled.items():
        inputs = {
            contract.INPUT_TEXT: tf.constant([text] * rows, tf.string),
            contract.INPUT_MAX_OUTPUT_TOKENS: tf.constant([1] * rows, tf.int32),
        }
        yield _request(model_name, contract.SIGNATURE_SUMMARIZE, inputs)


def _requests(
    model_name: str, texts: Sequence[str], max_output_tokens: int
) -> Iterator[predict_pb2.PredictRequest]:
    limits = _limits(len(texts), max_output_tokens)
    for size in _batch_sizes(len(texts)):
        text = {contract.INPUT_TEXT: tf.constant(list(texts[:size]), tf.string)}
        limit = {contract.INPUT_MAX_OUTPUT_TOKENS: tf.constant(limits[:size], tf.int32)}
        yield _request(model_name, contract.SIGNATURE_DEFAULT, text)
        yield _request(model_name, contract.SIGNATURE_SUMMARIZE, {**text, **limit})
        yield _request(model_name, contract.SIGNATURE_COUNT_TOKENS, text)


def texts_within_budget(
    texts: Sequence[str], *, budget: int, max_output_tokens: int, num_beams: int
) -> Sequence[str]:
    """Return the first texts, as many as can be answered within a budget; one in any case.

    A server decodes every warm-up request before it opens a version, and ServingValidator
    decodes each of them again.

    Args:
      texts: real documents; at least one.
      budget: ids that all requests together may decode, times beams.
      max_output_tokens: the model's limit.
      num_beams: the model's.
    """
    count = 1
    while (
        count < len(texts) and ids_decoded(count + 1, max_output_tokens) * num_beams <= budget
    ):
        count += 1
    return texts[:count]


def ids_decoded(texts: int, max_output_tokens: int) -> int:
    """Number of ids that the requests of so many texts decode at most, per beam."""
    limits = [limit or max_output_tokens for limit in _limits(texts, max_output_tokens)]
    return sum(size * max_output_tokens + sum(limits[:size]) for size in _batch_sizes(texts))


def _limits(texts: int, max_output_tokens: int) -> list[int]:
    """Rows with a limit and rows without one, as a server's batches have them."""
    return [(0, max(1, max_output_tokens // 2))[row % 2] for row in range(texts)]


def _batch_sizes(count: int) -> Iterator[int]:
    size = 1
    while size < count:
        yield size
        size *= 2
    yield count


def _request(
    model_name: str, signature: str, inputs: dict[str, tf.Tensor]
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request
