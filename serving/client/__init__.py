"""A small client of a metered model, over REST or gRPC. No TensorFlow.

from serving.client import RestClient

with RestClient("http://127.0.0.1:8501") as client:
    for answer in client.summarize(["A long text ..."]):
        print(answer.summary, answer.total_tokens)
"""

from serving.client.clients import GrpcClient, ModelClient, RestClient
from serving.protocol.errors import BadAnswerError, ClientError, RefusedError, UnreachableError
from serving.protocol.exchange import ModelMetadata, Signature, VersionStatus
from serving.protocol.metered import TokenCount

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
