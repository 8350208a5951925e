"""Ways to run a model server: the local one, a real ``tensorflow_model_server``, its image.

from serving.engines import ServerSpec, choose_engine

engine = choose_engine("auto")
with engine.start(ServerSpec.single("summarizer", path)) as server:
    server.wait_until_available(timeout_s=60)
    ...  # server.rest_url, server.grpc_address
"""

from serving.engines.base import (
    GPU_ENVIRONMENT,
    XLA_FLAGS,
    Engine,
    EngineError,
    RunningServer,
    ServerSpec,
)
from serving.engines.choice import ENGINE_NAMES, choose_engine
from serving.engines.compiled import CompiledVersions
from serving.engines.docker import IMAGE, docker_command
from serving.engines.server_files import Batching, ServerFiles, default_model_config

__all__ = [
    "ENGINE_NAMES",
    "GPU_ENVIRONMENT",
    "IMAGE",
    "XLA_FLAGS",
    "Batching",
    "CompiledVersions",
    "Engine",
    "EngineError",
    "RunningServer",
    "ServerFiles",
    "ServerSpec",
    "choose_engine",
    "default_model_config",
    "docker_command",
]
