"""A small client of a metered model, over REST (no TensorFlow needed) or gRPC.

from serving.client import RestClient

with RestClient("http://127.0.0.1:8501") as client:
    for answer in client.summarize(["A long text ..."]):
        print(answer.summary, answer.total_tokens)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from serving.client.base import (
    ModelClient,
    ModelMetadata,
    Signature,
    TokenCount,
    VersionStatus,
)
from serving.protocol.errors import BadAnswerError, ClientError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from serving.client.grpc_client import GrpcClient
    from serving.client.rest_client import RestClient

__all__ = [
    "BadAnswerError",
    "ClientError",
    "GrpcClient",
    "ModelClient",
    "ModelMetadata",
    "RefusedError",
    "RestClient",
    "Signature",
    "TokenCount",
    "UnreachableError",
    "VersionStatus",
]

# Loaded when asked for: who wants the errors alone does not wait for a client's library.
_CLIENTS: Final = {
    "GrpcClient": "serving.client.grpc_client",
    "RestClient": "serving.client.rest_client",
}


def __getattr__(name: str) -> Any:
    if name not in _CLIENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_CLIENTS[name]), name)
