"""The model servers behind the gateway, asked over REST or gRPC. No TensorFlow.

``ServedModel`` is what the service asks; below it, a file for each part: the servers of a model
and which one to ask (``replicas``), one server by its address (``server``), the tenants of a
canary (``canary``).
"""

from serving.gateway.backends.canary import Canary
from serving.gateway.backends.errors import BackendError
from serving.gateway.backends.model import ServedModel

__all__ = ["BackendError", "Canary", "ServedModel"]
