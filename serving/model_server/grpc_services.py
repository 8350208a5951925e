"""The gRPC API: PredictionService and ModelService."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias, TypeVar

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.model_server.backend import Backend, Outputs, PredictCall
from serving.model_server.errors import ServingError, invalid_argument
from serving.model_server.model_version import ModelSpec
from serving.model_server.predict_messages import predict_response
from serving.model_server.request_log import Answered
from serving.model_server.saved_model import DEFAULT_SIGNATURE
from serving.model_server.tensors import array_from_proto
from serving.model_server.workers import Waiting
from serving.protocol.statuses import Code

Answer = TypeVar("Answer")
# Of which messages, the generated servicers do not say.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_LOG = logging.getLogger(__name__)

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
MAX_MESSAGE_CHARS = 1024
_RELOAD_POLL_S = 0.05


def _model_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    return ModelSpec(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


@contextmanager
def _no_traceback_for_clients() -> Iterator[None]:
    try:
        yield
    except (ServingError, asyncio.CancelledError):
        raise
    except Exception as error:
        _LOG.exception("A request failed unexpectedly")
        raise ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}") from error


async def _answer(context: Context, work: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        with _no_traceback_for_clients():
            return await work()
    except ServingError as error:
        message = error.message
        if len(message) > MAX_MESSAGE_CHARS:
            message = message[:MAX_MESSAGE_CHARS] + "...TRUNCATED"
        await context.abort(_STATUS_CODES[int(error.code)], message)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other calls are UNIMPLEMENTED."""

    def __init__(self, backend: Backend, as_content: bool) -> None:
        self._backend = backend
        self._as_content = as_content

    async def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: Context
    ) -> predict_pb2.PredictResponse:
        async def work() -> predict_pb2.PredictResponse:
            with self._backend.counted(request.model_spec.name, "Predict", "GRPC"):
                return await self._backend.workers.run(self._predict, request)

        return await _answer(context, work)

    async def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: Context,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        async def work() -> get_model_metadata_pb2.GetModelMetadataResponse:
            return self._backend.metadata(_model_spec(request), list(request.metadata_field))

        return await _answer(context, work)

    def _predict(
        self, request: predict_pb2.PredictRequest
    ) -> predict_pb2.PredictResponse | Waiting[predict_pb2.PredictResponse]:
        backend = self._backend
        spec = _model_spec(request)
        signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with ExitStack() as held:
            servable = held.enter_context(
                backend.manager.acquire(spec.name, spec.version, spec.label)
            )
            inputs = {
                alias: array_from_proto(alias, proto, backend.max_request_bytes)
                for alias, proto in request.inputs.items()
            }
            call = PredictCall(servable, signature_name, inputs, list(request.output_filter))

            return backend.predict(held, call, self._finish(request, call))

    def _finish(
        self, request: predict_pb2.PredictRequest, call: PredictCall
    ) -> Callable[[Outputs], predict_pb2.PredictResponse]:
        """What makes the answer of a call's outputs, and logs the request."""
        answered_by = call.servable.spec  # the model itself must not live as long as a log
        name = call.signature_name
        log = self._backend.request_log

        def finish(outputs: Outputs) -> predict_pb2.PredictResponse:
            response = predict_response(answered_by, name, outputs, self._as_content)
            if log.samples(answered_by.name):
                size = request.ByteSize() + response.ByteSize()
                log.add(Answered(answered_by.name, size, lambda: (request, response)))
            return response

        return finish


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: Context,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        async def work() -> get_model_status_pb2.GetModelStatusResponse:
            return self._backend.status(_model_spec(request))

        return await _answer(context, work)

    async def HandleReloadConfigRequest(  # noqa: N802
        self,
        request: model_management_pb2.ReloadConfigRequest,
        context: Context,
    ) -> model_management_pb2.ReloadConfigResponse:
        async def work() -> model_management_pb2.ReloadConfigResponse:
            if request.config.WhichOneof("config") != "model_config_list":
                raise invalid_argument(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                    "ModelConfigList is currently supported"
                )
            # Its models may take minutes to load, or never come: no thread waits for that, and
            # if the client gives up, nobody does.
            manager = self._backend.manager
            reload = await asyncio.to_thread(manager.use, request.config)
            while not manager.is_complete(reload):
                await asyncio.sleep(_RELOAD_POLL_S)
            response = model_management_pb2.ReloadConfigResponse()
            response.status.error_code = int(Code.OK)
            return response

        return await _answer(context, work)


def make_grpc_server(backend: Backend, as_content: bool) -> grpc.aio.Server:
    """Create a gRPC server with both services; the caller adds a port and starts it."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", backend.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Two servers on one port would share its requests without a word.
            ("grpc.so_reuseport", 0),
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(backend, as_content), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(backend), server)
    return server
