"""Ways to run a model server: the local one, a real ``tensorflow_model_server``.

from serving.engines import ServerSpec, choose_engine

engine = choose_engine("auto")
with engine.start(ServerSpec.single("summarizer", path)) as server:
    server.wait_until_available(timeout_s=60)
    ...  # server.rest_url, server.grpc_address
"""

from serving.engines.base import XLA_FLAGS, Engine, EngineError, RunningServer, ServerSpec
from serving.engines.choice import ENGINE_NAMES, choose_engine

__all__ = [
    "ENGINE_NAMES",
    "XLA_FLAGS",
    "Engine",
    "EngineError",
    "RunningServer",
    "ServerSpec",
    "choose_engine",
]
