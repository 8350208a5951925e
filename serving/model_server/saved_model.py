"""One loaded SavedModel: its signatures, and running them.

The model is run by a TensorFlow session on the signature's feeds and fetches, as TensorFlow
Serving does it: several threads may run one model at the same time, the interpreter lock is
free meanwhile, and closing the session gives the memory back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the text ops that a served graph may hold
from tensorflow.core.protobuf import config_pb2

from serving.model_server.errors import (
    Code,
    ServingError,
    failed_precondition,
    invalid_argument,
)
from serving.model_server.stock_ops import refused_nodes

DEFAULT_SIGNATURE = "serving_default"
_PREDICT_METHODS = tuple(
    f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress")
)


@dataclass(frozen=True)
class LoadOptions:
    """How models are loaded and run; the fields are the flags of the same meaning."""

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    allow_xla: bool = False
    check_method_names: bool = False
    timeout_ms: int = 0


def type_name(dtype: int) -> str:
    """TensorFlow's name of a ``DataType`` in messages: 7 -> ``string``, 1 -> ``float``."""
    if dtype == 0:
        return "INVALID"
    name = str(tf.dtypes.as_dtype(dtype).name)
    return {"float32": "float", "float64": "double", "float16": "half"}.get(name, name)


class LoadedModel:
    """A SavedModel in memory.

    Attributes:
      path: where it was read from.
      signatures: its ``SignatureDef`` by name.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Load a SavedModel and run its initialisers.

        Raises:
          ServingError: the SavedModel is missing, broken, or needs an op that is unknown.
        """
        self.path = path
        self._options = options
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(
            graph=graph,
            config=config_pb2.ConfigProto(
                intra_op_parallelism_threads=options.intra_op_threads,
                inter_op_parallelism_threads=options.inter_op_threads,
                allow_soft_placement=True,
            ),
        )
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, list(options.tags), str(path)
                )
        except Exception as error:
            # The loader answers a broken model with whatever the broken part raised.
            self._session.close()
            raise _as_serving_error(error) from error
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self._graph_def = meta_graph.graph_def
        self._runners: dict[tuple[str, ...], _Runner] = {}
        self._runners_lock = threading.Lock()

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
        timeout_ms: int = 0,
    ) -> dict[str, np.ndarray]:
        """Compute a signature.

        Args:
          signature_name: one of ``signatures``; empty for ``serving_default``.
          inputs: an array for each input alias; strings as object arrays of ``bytes``.
          output_filter: the output aliases wanted; none for all.
          timeout_ms: give up after so long; 0 for no limit.

        Returns:
          An array for each output alias.

        Raises:
          ServingError: with TensorFlow Serving's code and message.
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise failed_precondition(f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        self._check_method(signature)
        _check_inputs(signature, inputs)
        aliases = _wanted_outputs(signature, output_filter)
        runner = self._runner(name, signature, aliases, timeout_ms)
        try:
            return runner(inputs)
        except tf.errors.OpError as error:
            raise _as_serving_error(error) from None

    def close(self) -> None:
        """Give the model's memory back. No run may be under way."""
        self._runners.clear()
        self._session.close()

    def _check_method(self, signature: Any) -> None:
        method = signature.method_name
        if self._options.check_method_names and method not in _PREDICT_METHODS:
            raise ServingError(
                Code.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_PREDICT_METHODS)}}}. Was: {method}",
            )

    def _runner(
        self, name: str, signature: Any, aliases: list[str], timeout_ms: int
    ) -> _Runner:
        key = (name, str(timeout_ms), *aliases)
        with self._runners_lock:
            if (runner := self._runners.get(key)) is None:
                runner = self._make_runner(signature, aliases, timeout_ms)
                self._runners[key] = runner
        return runner

    def _make_runner(self, signature: Any, aliases: list[str], timeout_ms: int) -> _Runner:
        fetches = {alias: signature.outputs[alias].name for alias in aliases}
        if not self._options.allow_xla and refused_nodes(self._graph_def, fetches.values()):
            raise invalid_argument("XLA compilation disabled")
        feeds = {alias: info.name for alias, info in signature.inputs.items()}
        unique_fetches = sorted(set(fetches.values()))
        options = config_pb2.CallableOptions(feed=feeds.values(), fetch=unique_fetches)
        options.run_options.timeout_in_ms = timeout_ms
        # Session.run parses names and flattens structures on each call; a callable does so
        # once and makes a small model's call five times as fast.
        call = self._session._make_callable_from_options(options)
        return _Runner(
            call=call,
            feed_aliases=tuple(feeds),
            outputs={alias: unique_fetches.index(name) for alias, name in fetches.items()},
        )


@dataclass(frozen=True)
class _Runner:
    call: Callable[..., list[np.ndarray]]
    feed_aliases: tuple[str, ...]
    outputs: dict[str, int]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = self.call(*(inputs[alias] for alias in self.feed_aliases))
        return {alias: values[index] for alias, index in self.outputs.items()}


def _check_inputs(signature: Any, inputs: Mapping[str, np.ndarray]) -> None:
    expected = signature.inputs
    if len(inputs) != len(expected):
        raise invalid_argument(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{_names(inputs)}}}) != len({{{_names(expected)}}}). "
            f"Sent extra: {{{_names(set(inputs) - set(expected))}}}. "
            f"Missing but required: {{{_names(set(expected) - set(inputs))}}}."
        )
    for alias, info in expected.items():
        if alias not in inputs:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in "
                "request and no default value provided. Inputs expected to be in the "
                f"request {{{_names(inputs)}}}, or default input alias set: "
            )
    # TensorFlow numbers the arguments by the feeds' names.
    for index, alias in enumerate(sorted(expected, key=lambda alias: expected[alias].name)):
        given = tf.dtypes.as_dtype(inputs[alias].dtype).as_datatype_enum
        if given != expected[alias].dtype:
            raise invalid_argument(
                f"Expects arg[{index}] to be {type_name(expected[alias].dtype)} but "
                f"{type_name(given)} is provided"
            )


def _wanted_outputs(signature: Any, output_filter: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to "
                f"be in the set {{{_names(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return sorted(seen or signature.outputs)


def _names(names: Any) -> str:
    return ",".join(sorted(names))


def _as_serving_error(error: Exception) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code(error.error_code), str(error.message))
    if isinstance(error, OSError):
        return ServingError(Code.NOT_FOUND, str(error))
    return ServingError(Code.INVALID_ARGUMENT, f"{type(error).__name__}: {error}")
