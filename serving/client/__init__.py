"""A small client of a metered model, over REST (no TensorFlow needed) or gRPC.

from serving.client import RestClient

with RestClient("http://127.0.0.1:8501") as client:
    for answer in client.summarize(["A long text ..."]):
        print(answer.summary, answer.total_tokens)
"""

from serving.client.base import (
    ModelClient,
    ModelMetadata,
    Signature,
    TokenCount,
    VersionStatus,
)
from serving.client.errors import BadAnswerError, ClientError, RefusedError, UnreachableError
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
