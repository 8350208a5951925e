"""The REST client. It needs neither TensorFlow nor gRPC."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import orjson

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
from serving.protocol.errors import BadAnswerError, RefusedError, UnreachableError
from serving.protocol.statuses import Code


class RestClient(ModelClient):
    """Calls a model server over REST. Can be shared by threads."""

    def __init__(
        self,
        base_url: str,
        model: str = DEFAULT_MODEL,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        """
        Args:
          base_url: such as ``http://127.0.0.1:8501``.
        """
        super().__init__(model, version, label, timeout_s, retries)
        self._path = f"/v1/models/{quote(model, safe='')}"
        if version is not None:
            self._path += f"/versions/{version}"
        elif label is not None:
            self._path += f"/labels/{quote(label, safe='')}"
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def _model_status(self) -> list[VersionStatus]:
        document = self._ask("GET", self._path)
        try:
            statuses = [
                VersionStatus(
                    version=int(entry["version"]),
                    state=entry["state"],
                    error_code=entry["status"]["error_code"],
                    error_message=entry["status"]["error_message"],
                )
                for entry in document["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_ours(document, error) from error
        return sorted(statuses, key=lambda status: status.version, reverse=True)

    def _metadata(self) -> ModelMetadata:
        document = self._ask("GET", f"{self._path}/metadata")
        try:
            signatures = document["metadata"]["signature_def"]["signature_def"]
            return ModelMetadata(
                name=document["model_spec"]["name"],
                version=int(document["model_spec"]["version"]),
                signatures={
                    name: Signature(
                        inputs=_dtypes(signature["inputs"]),
                        outputs=_dtypes(signature["outputs"]),
                    )
                    for name, signature in signatures.items()
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_ours(document, error) from error

    def _predict(
        self, signature: str, inputs: Mapping[str, list[Any]], names: tuple[str, ...]
    ) -> dict[str, list[Any]]:
        body = orjson.dumps(
            {
                "signature_name": signature,
                "inputs": {
                    name: [_json_value(value) for value in values]
                    for name, values in inputs.items()
                },
            }
        )
        document = self._ask("POST", f"{self._path}:predict", body)
        outputs = document.get("outputs")
        if isinstance(outputs, list):
            outputs = {"(its only output)": outputs}  # it is not named in column format
        if not isinstance(outputs, dict):
            raise self._not_ours(document, "no 'outputs'")
        return outputs

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        url = str(self._http.base_url).rstrip("/") + path
        try:
            answer = self._http.request(method, path, content=body)
        except httpx.TimeoutException as error:
            raise UnreachableError(
                f"{url} did not respond within {self.timeout_s:g} s. Send fewer or shorter "
                "texts, or allow more time.",
                was_sent=not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout),
            ) from None
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"{url} cannot be reached: {type(error).__name__}: {error}. Check that the "
                "model server is running there.",
                was_sent=not isinstance(error, httpx.ConnectError),
            ) from None
        try:
            document = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            document, problem = None, str(error)
        else:
            problem = "not a JSON object"
        if answer.status_code != 200:
            message = document.get("error") if isinstance(document, dict) else None
            raise RefusedError(
                Code.of_http(answer.status_code),
                str(message or f"HTTP {answer.status_code}"),
                received="" if message else answer.text[:500],
            )
        if not isinstance(document, dict):
            raise self._not_ours(answer.text, problem)
        return document

    def _not_ours(self, received: object, problem: object) -> BadAnswerError:
        return BadAnswerError(
            f"{self._http.base_url} did not respond as TensorFlow Serving's API does "
            f"({problem}). Received: {str(received)[:200]}"
        )


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    return value


def _dtypes(infos: Mapping[str, Any]) -> dict[str, str]:
    return {name: dtype_name(info["dtype"]) for name, info in infos.items()}
