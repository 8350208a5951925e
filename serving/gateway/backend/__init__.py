"""The model servers behind the gateway, asked over REST or gRPC. No TensorFlow.

``ServedModel`` is what the rest of the gateway asks; below it, a file for each part: the
servers of a model and whom to ask (``replicas``, ``replica``), one server over a protocol
(``server``, ``rest_server``, ``grpc_server``), the tenants of a canary (``canary``).
"""

from serving.gateway.backend.canary import Canary
from serving.gateway.backend.errors import BackendError, VersionGoneError
from serving.gateway.backend.model import ServedModel, ServedVersion

__all__ = ["BackendError", "Canary", "ServedModel", "ServedVersion", "VersionGoneError"]
