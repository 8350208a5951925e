"""The gRPC client. It imports TF Serving's protos, and so TensorFlow, when it is created."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serving.client.base import (
    DEFAULT_MODEL,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    ModelClient,
    ModelMetadata,
    Signature,
    VersionStatus,
    dtype_name,
)
from serving.protocol.errors import (
    BadAnswerError,
    ClientError,
    UnreachableError,
    grpc_failure,
)
from serving.protocol.statuses import Code


class GrpcClient(ModelClient):
    """Calls a model server over gRPC. Can be shared by threads."""

    def __init__(
        self,
        address: str,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """
        Args:
          address: such as ``127.0.0.1:8500``.

        Raises:
          ClientError: grpcio, TensorFlow or tensorflow-serving-api is not installed.
        """
        super().__init__(model, version, label, timeout_s, retries)
        try:
            import grpc
            from tensorflow_serving.apis import (
                model_service_pb2_grpc,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ClientError(
                f"gRPC needs a package that is not installed ({error}). Install "
                "tallygraph[server], or use RestClient."
            ) from error
        self._address = address
        self._rpc_error = grpc.RpcError
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def _model_status(self) -> list[VersionStatus]:
        from tensorflow.core.protobuf import error_codes_pb2
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        self._fill(request.model_spec)
        response = self._ask(self._models.GetModelStatus, request)
        state_name = get_model_status_pb2.ModelVersionStatus.State.Name
        statuses = [
            VersionStatus(
                version=entry.version,
                state=state_name(entry.state),
                error_code=error_codes_pb2.Code.Name(entry.status.error_code),
                error_message=entry.status.error_message,
            )
            for entry in response.model_version_status
        ]
        return sorted(statuses, key=lambda status: status.version, reverse=True)

    def _metadata(self) -> ModelMetadata:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        self._fill(request.model_spec)
        response = self._ask(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return ModelMetadata(
            name=response.model_spec.name,
            version=response.model_spec.version.value,
            signatures={
                name: Signature(_dtypes(signature.inputs), _dtypes(signature.outputs))
                for name, signature in signatures.signature_def.items()
            },
        )

    def _predict(
        self, signature: str, inputs: Mapping[str, list[Any]], names: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._fill(request.model_spec)
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            dtype = tf.int32 if isinstance(values[0], int) else tf.string
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype=dtype))
        response = self._ask(self._prediction.Predict, request)
        try:
            return {
                name: (
                    [_value(item) for item in tf.make_ndarray(proto).tolist()]
                    if name in names
                    else []
                )
                for name, proto in response.outputs.items()
            }
        except (UnicodeDecodeError, TypeError) as error:
            raise BadAnswerError(
                f"{self._address} sent an output that is not a list of texts or numbers: "
                f"{error}"
            ) from error

    def _fill(self, spec: Any) -> None:
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label

    def _ask(self, call: Callable[..., Any], request: Any) -> Any:
        try:
            return call(request, timeout=self.timeout_s)
        except self._rpc_error as error:
            failure = grpc_failure(Code.of_number(error.code().value[0]), error.details() or "")
            if not isinstance(failure, UnreachableError):
                raise failure from None
            raise type(failure)(
                f"{self._address} did not respond ({failure}) within {self.timeout_s:g} s. "
                "Check that the model server is running there.",
                failure.was_sent,
            ) from None


def _value(item: Any) -> Any:
    return item.decode() if isinstance(item, bytes) else item


def _dtypes(infos: Any) -> dict[str, str]:
    from tensorflow.core.framework import types_pb2

    return {
        name: dtype_name(types_pb2.DataType.Name(info.dtype)) for name, info in infos.items()
    }
