"""What both protocols use of the server: the models, the threads, the counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.model_server.batch_tensors import batch_rows
from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.manager import ModelManager
from serving.model_server.metrics import Metrics
from serving.model_server.model_version import ModelSpec, Servable
from serving.model_server.request_log import RequestLog
from serving.model_server.workers import Waiting, Workers
from serving.protocol.statuses import Code

SIGNATURE_DEF = "signature_def"

Outputs = dict[str, np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True)
class PredictCall:
    """A predict request, ready to be computed; ``timeout_ms`` 0 means no limit."""

    servable: Servable
    signature_name: str
    inputs: Mapping[str, np.ndarray]
    output_filter: Sequence[str] = ()
    timeout_ms: int = 0


@dataclass(frozen=True)
class Backend:
    """Everything that the API of a protocol needs."""

    manager: ModelManager
    workers: Workers
    metrics: Metrics
    request_log: RequestLog
    max_request_bytes: int

    def predict(
        self, held: ExitStack, call: PredictCall, finish: Callable[[Outputs], T]
    ) -> T | Waiting[T]:
        """Run a signature, at once or in a batch, and record the time.

        Args:
          held: holds the call's version in memory. It is released as soon as the version has
            computed; in a batch, that is after this returns.
          finish: makes the response from the outputs.

        Returns:
          The response, or what to wait for.

        Raises:
          ServingError: with TensorFlow Serving's code and message.
        """
        model = call.servable.model
        plan = model.plan(call.signature_name, call.inputs, call.output_filter)
        arrays = plan.arrays(call.inputs)
        started = time.perf_counter()

        def record() -> None:
            self.metrics.runtime_latency.add(
                call.servable.name, "Predict", "TF1", value=_microseconds_since(started)
            )

        # An empty batch is computed at once: TensorFlow Serving would never answer it.
        if model.batcher is None or batch_rows(arrays) == 0:
            values = model.compute(plan, arrays, call.timeout_ms)
            record()
            held.close()
            return finish(plan.named(values))
        future = model.batcher.submit(plan, arrays, call.timeout_ms)
        release = held.pop_all().close

        def computed(future: Future[list[np.ndarray]]) -> None:
            release()
            if not future.cancelled() and future.exception() is None:
                record()

        future.add_done_callback(computed)
        return Waiting(future, lambda values: finish(plan.named(values)))

    def status(self, spec: ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Return the state of a version, or of all versions of a model (a label has no effect
        here).

        Raises:
          ServingError: there is no such model or version.
        """
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self.manager.status(spec.name, spec.version):
            error = status.error
            entry = response.model_version_status.add(
                version=status.version, state=int(status.state)
            )
            entry.status.error_code = int(error.code if error else Code.OK)
            entry.status.error_message = error.message if error else ""
        return response

    def metadata(
        self, spec: ModelSpec, fields: Sequence[str]
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return a model's signatures.

        Raises:
          ServingError: there is no such model, or a field other than ``signature_def`` is
            requested.
        """
        if not fields:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in fields:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self.manager.acquire(spec.name, spec.version, spec.label) as servable:
            for name, signature in servable.model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    @contextmanager
    def counted(self, name: str, api: str, entrypoint: str) -> Iterator[None]:
        """Count a request by its outcome, and its time if it succeeds."""
        started = time.perf_counter()
        code = Code.UNKNOWN
        try:
            yield
            code = Code.OK
            self.metrics.request_latency.add(
                name, api, entrypoint, value=_microseconds_since(started)
            )
        except ServingError as error:
            code = error.code
            raise
        finally:
            self.metrics.requests.add(name, code.name)


def _microseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e6


def signature_inputs(servable: Servable, name: str) -> Mapping[str, Any]:
    """Return the ``TensorInfo`` of each input of a signature, for REST.

    Raises:
      ServingError: there is no such signature; REST words it in its own way.
    """
    signature = servable.model.signatures.get(name or "serving_default")
    if signature is None:
        raise invalid_argument(
            f'Serving signature name: "{name or "serving_default"}" not found in signature def'
        )
    inputs: Mapping[str, Any] = signature.inputs
    return inputs
