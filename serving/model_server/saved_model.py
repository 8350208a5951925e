"""A loaded SavedModel: its signatures, and how they are run.

A TensorFlow session runs the model with the signature's feeds and fetches, as in TensorFlow
Serving: several threads can run one model at the same time, the interpreter lock is free
meanwhile, and closing the session releases the memory.
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
    ServingError,
    failed_precondition,
    invalid_argument,
)
from serving.model_server.model_batcher import ModelBatcher
from serving.model_server.run_plan import RunPlan, check_inputs, make_plan, wanted_outputs
from serving.model_server.stock_ops import refused_nodes
from serving.protocol.statuses import Code

DEFAULT_SIGNATURE = "serving_default"
# Output filters come from requests: their orders must not fill the memory.
MAX_PLANS = 1000
_PREDICT_METHODS = tuple(
    f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress")
)


@dataclass(frozen=True)
class LoadOptions:
    """Options for loading and running models; the fields correspond to the flags of the same
    meaning."""

    tags: tuple[str, ...] = ("serve",)
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    allow_xla: bool = False
    check_method_names: bool = False
    timeout_ms: int = 0
    gpu_memory_fraction: float = 0.0


class LoadedModel:
    """A SavedModel in memory.

    Attributes:
      path: the folder that it was read from.
      signatures: its ``SignatureDef`` by name.
      batcher: computes requests together; None if this model is not batched.
    """

    def __init__(self, path: Path, options: LoadOptions) -> None:
        """Load a SavedModel and run its initialisers.

        Raises:
          ServingError: the SavedModel is missing, broken, or needs an unknown op.
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
                gpu_options=_gpu_options(options),
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
        self.batcher: ModelBatcher | None = None
        self._graph_def = meta_graph.graph_def
        self._plans: dict[tuple[str, ...], RunPlan] = {}
        self._runners: dict[Any, Callable[..., list[np.ndarray]]] = {}
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
          output_filter: the requested output aliases; empty for all.
          timeout_ms: time limit; 0 for no limit.

        Returns:
          An array for each output alias.

        Raises:
          ServingError: with TensorFlow Serving's code and message.
        """
        plan = self.plan(signature_name, inputs, output_filter)
        return plan.named(self.compute(plan, plan.arrays(inputs), timeout_ms))

    def plan(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str] = (),
    ) -> RunPlan:
        """Check a request against its signature, and return its plan for the graph.

        Raises:
          ServingError: as ``run``, for everything except computing.
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise failed_precondition(f'Serving signature key "{name}" not found.')
        signature = self.signatures[name]
        self._check_method(signature)
        check_inputs(signature, inputs)
        key = (name, *output_filter)
        if (plan := self._plans.get(key)) is None:
            plan = make_plan(signature, wanted_outputs(signature, output_filter))
            if not self._options.allow_xla and refused_nodes(self._graph_def, plan.fetches):
                raise invalid_argument("XLA compilation disabled")
            if len(self._plans) < MAX_PLANS:
                self._plans[key] = plan
        return plan

    def compute(
        self, plan: RunPlan, arrays: Sequence[np.ndarray], timeout_ms: int = 0
    ) -> list[np.ndarray]:
        """Run the graph with an array for each of the plan's feeds, and return one for each
        fetch.

        Raises:
          ServingError: with TensorFlow's code and message.
        """
        try:
            values = self._runner(plan, timeout_ms)(*arrays)
            # A string without dimensions comes as bytes.
            return [np.array(v, object) if isinstance(v, bytes) else v for v in values]
        except tf.errors.OpError as error:
            raise _as_serving_error(error) from None

    def close(self) -> None:
        """Release the model's memory. No run may be in progress."""
        if self.batcher is not None:
            self.batcher.close()
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

    def _runner(self, plan: RunPlan, timeout_ms: int) -> Callable[..., list[np.ndarray]]:
        key = (plan.feeds, plan.fetches, timeout_ms)
        with self._runners_lock:
            if (runner := self._runners.get(key)) is None:
                options = config_pb2.CallableOptions(feed=plan.feeds, fetch=plan.fetches)
                options.run_options.timeout_in_ms = timeout_ms
                # Session.run parses names and flattens structures on each call; a callable
                # does so once and makes a small model's call five times as fast.
                runner = self._session._make_callable_from_options(options)
                self._runners[key] = runner
        return runner


def _gpu_options(options: LoadOptions) -> Any:
    """Memory of a GPU as it is needed, for others may be on it; or a share, at once."""
    if options.gpu_memory_fraction:
        return config_pb2.GPUOptions(
            per_process_gpu_memory_fraction=options.gpu_memory_fraction
        )
    return config_pb2.GPUOptions(allow_growth=True)


def _as_serving_error(error: Exception) -> ServingError:
    if isinstance(error, tf.errors.OpError):
        return ServingError(Code.of_number(error.error_code), str(error.message))
    if isinstance(error, OSError):
        return ServingError(Code.NOT_FOUND, str(error))
    return ServingError(Code.INVALID_ARGUMENT, f"{type(error).__name__}: {error}")
