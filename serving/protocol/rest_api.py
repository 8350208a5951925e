"""TensorFlow Serving's API over REST: JSON, without HTTP itself."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson

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

T = TypeVar("T")
_EXCERPT_BYTES: Final = 300


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request over REST.

    Attributes:
      target: the path, below the server's URL.
    """

    method: str
    target: str
    body: bytes = b""


HttpAnswer = tuple[int, bytes]
"""The status, and the body."""


def predict(target: Target, signature: str, inputs: Columns) -> Exchange[Columns]:
    # In columns: rows would repeat every name, and have no place for no row.
    body = {"signature_name": signature, "inputs": inputs}
    request = HttpRequest(
        "POST", f"{_path(target)}:predict", orjson.dumps(body, default=_base64)
    )
    rows = len(next(iter(inputs.values())))

    def read(document: dict[str, Any]) -> Columns:
        outputs = document["outputs"]
        if not isinstance(outputs, dict):  # of one output alone, its name is left out
            outputs = {"(its only output)": outputs}
        return checked(
            target.model, signature, outputs, lambda name, values: _column(name, values, rows)
        )

    return Exchange(request, _reader(read))


def status(target: Target) -> Exchange[list[VersionStatus]]:
    return Exchange(HttpRequest("GET", _path(target)), _reader(_read_status))


def metadata(target: Target) -> Exchange[ModelMetadata]:
    return Exchange(HttpRequest("GET", f"{_path(target)}/metadata"), _reader(_read_metadata))


def _path(target: Target) -> str:
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    if target.label is not None:
        return f"{path}/labels/{quote(target.label, safe='')}"
    return path


def _reader(read: Callable[[dict[str, Any]], T]) -> Callable[[HttpAnswer], T]:
    def read_answer(answer: HttpAnswer) -> T:
        document = _document(*answer)
        try:
            return read(document)
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswerError(
                f"it is not TensorFlow Serving's ({type(error).__name__}: {error})",
                _excerpt(answer[1]),
            ) from None

    return read_answer


def _document(status: int, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if status != 200:
        said = document.get("error") if isinstance(document, dict) else None
        received = "" if said else _excerpt(body)
        raise RefusedError(Code.of_http(status), str(said or f"HTTP {status}"), received)
    if not isinstance(document, dict):
        raise BadAnswerError("HTTP 200, but not a JSON object", _excerpt(body))
    return document


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT_BYTES].decode(errors="replace")


def _column(name: str, values: object, rows: int) -> list[Any]:
    if not isinstance(values, list) or len(values) != rows:
        received = len(values) if isinstance(values, list) else type(values).__name__
        raise BadAnswerError(f"{name} must have {rows} rows. Received: {received}.")
    return values


def _read_status(document: dict[str, Any]) -> list[VersionStatus]:
    found = [
        VersionStatus(
            version=int(entry["version"]),
            state=entry["state"],
            error_code=entry["status"]["error_code"],
            error_message=entry["status"]["error_message"],
        )
        for entry in document["model_version_status"]
    ]
    return sorted(found, key=lambda each: each.version, reverse=True)


def _read_metadata(document: dict[str, Any]) -> ModelMetadata:
    signatures = document["metadata"]["signature_def"]["signature_def"]
    return ModelMetadata(
        name=document["model_spec"]["name"],
        version=int(document["model_spec"]["version"]),
        signatures={
            name: Signature(_dtypes(each["inputs"]), _dtypes(each["outputs"]))
            for name, each in signatures.items()
        },
    )


def _dtypes(infos: Mapping[str, Any]) -> dict[str, str]:
    return {name: dtype_name(info["dtype"]) for name, info in infos.items()}


def _base64(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"Texts and integers only. Received: {type(value).__name__}.")
