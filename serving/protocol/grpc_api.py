"""TensorFlow Serving's API over gRPC: messages, without gRPC itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from serving.protocol import messages
from serving.protocol.columns import read_column, write_column
from serving.protocol.errors import BadAnswerError, RefusedError
from serving.protocol.exchange import (
    Columns,
    Exchange,
    ModelMetadata,
    Signature,
    Target,
    VersionStatus,
    dtype_name,
)
from serving.protocol.metered import checked
from serving.protocol.statuses import Code

_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_METADATA: Final = "/tensorflow.serving.PredictionService/GetModelMetadata"
_STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"
_RELOAD: Final = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
_SIGNATURES: Final = "signature_def"


@dataclass(frozen=True, slots=True)
class Call:
    """A request over gRPC.

    Attributes:
      method: its path.
      answer: the class of the answer's message.
    """

    method: str
    message: Any
    answer: Any


def predict(target: Target, signature: str, inputs: Columns) -> Exchange[Columns]:
    request = messages.PredictRequest()
    _fill(request.model_spec, target)
    request.model_spec.signature_name = signature
    rows = 0
    for name, values in inputs.items():
        write_column(request.inputs[name], values)
        rows = len(values)

    def read(response: Any) -> Columns:
        answered_by = response.model_spec.version.value
        if target.version is not None and answered_by != target.version:
            raise BadAnswerError(
                f"it comes from version {answered_by}. Expected: version {target.version}."
            )
        return checked(
            target.model,
            signature,
            response.outputs,
            lambda name, tensor: read_column(name, tensor, rows),
        )

    return Exchange(Call(_PREDICT, request, messages.PredictResponse), read)


def status(target: Target) -> Exchange[list[VersionStatus]]:
    request = messages.GetModelStatusRequest()
    _fill(request.model_spec, target)
    return Exchange(Call(_STATUS, request, messages.GetModelStatusResponse), _read_status)


def metadata(target: Target) -> Exchange[ModelMetadata]:
    request = messages.GetModelMetadataRequest(metadata_field=[_SIGNATURES])
    _fill(request.model_spec, target)
    return Exchange(Call(_METADATA, request, messages.GetModelMetadataResponse), _read_metadata)


def reload_config(config: bytes) -> Exchange[None]:
    """Have a server serve what a config says. It answers when it has loaded that.

    Args:
      config: a serialised ``ModelServerConfig``.
    """
    request = messages.ReloadConfigRequest()
    request.config.MergeFromString(config)
    return Exchange(Call(_RELOAD, request, messages.ReloadConfigResponse), _read_reload)


def _fill(spec: Any, target: Target) -> None:
    spec.name = target.model
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label


def _read_status(response: Any) -> list[VersionStatus]:
    found = [
        VersionStatus(
            version=entry.version,
            state=messages.STATES.get(entry.state, str(entry.state)),
            error_code=Code.of_number(entry.status.error_code).name,
            error_message=entry.status.error_message,
        )
        for entry in response.model_version_status
    ]
    return sorted(found, key=lambda each: each.version, reverse=True)


def _read_metadata(response: Any) -> ModelMetadata:
    packed = response.metadata[_SIGNATURES].value
    signatures = messages.SignatureDefMap.FromString(packed).signature_def
    return ModelMetadata(
        name=response.model_spec.name,
        version=response.model_spec.version.value,
        signatures={
            name: Signature(_dtypes(each.inputs), _dtypes(each.outputs))
            for name, each in signatures.items()
        },
    )


def _read_reload(response: Any) -> None:
    if response.status.error_code:
        raise RefusedError(
            Code.of_number(response.status.error_code), response.status.error_message
        )


def _dtypes(infos: Mapping[str, Any]) -> dict[str, str]:
    return {name: _dtype(info.dtype) for name, info in infos.items()}


def _dtype(number: int) -> str:
    known = 0 <= number < len(messages.DATA_TYPES)
    return dtype_name(messages.DATA_TYPES[number] if known else str(number))
