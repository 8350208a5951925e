"""The model server: combines its parts, starts them, and drains them on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import tensorflow as tf
import uvicorn
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.bounded_http import KEEP_ALIVE_S, bounded_protocol
from serving.model_server.backend import Backend
from serving.model_server.batching import Batching
from serving.model_server.batching_options import read_batching_options
from serving.model_server.config import (
    read_metrics_path,
    read_model_config,
    single_model_config,
)
from serving.model_server.errors import ServingError
from serving.model_server.flags import ServerFlags
from serving.model_server.grpc_services import make_grpc_server
from serving.model_server.lifecycle import LifecycleOptions
from serving.model_server.manager import ModelManager
from serving.model_server.metrics import Metrics
from serving.model_server.request_log import RequestLog
from serving.model_server.rest_app import RestApp
from serving.model_server.saved_model import LoadedModel, LoadOptions
from serving.model_server.versions import VersionOnDisk
from serving.model_server.warmup import warm_up
from serving.model_server.workers import Workers
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)


class _RestServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals stop both protocols, so they are handled in one place


class ModelServer:
    """The whole program: models, gRPC and REST."""

    def __init__(self, flags: ServerFlags) -> None:
        """
        Raises:
          ServingError: a config file is missing or not valid.
        """
        self._flags = flags
        tf.config.experimental.enable_tensor_float_32_execution(flags.enable_tensor_float_32)
        self._config = self._read_config()
        self._metrics_path = read_metrics_path(flags.monitoring_config_file)
        self._metrics = Metrics()
        self._batching: Batching | None = None
        if flags.enable_batching:
            self._batching = Batching(
                read_batching_options(flags.batching_parameters_file),
                flags.enable_per_model_batching_parameters,
                self._metrics,
            )
        self._request_log = RequestLog(
            self._metrics, flags.saved_model_tags.split(","), flags.request_log_max_file_bytes
        )
        self._manager = ModelManager(
            self._load,
            LifecycleOptions(
                poll_s=flags.file_system_poll_wait_seconds,
                max_retries=flags.max_num_load_retries,
                retry_interval_s=flags.load_retry_interval_micros / 1e6,
                load_threads=flags.num_load_threads,
            ),
            allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
            request_log=self._request_log,
        )
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
          ServingError: a model cannot be loaded at start, or a port is in use.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._check_ports()
        # Modules live as long as the process: without them, collecting a closed model's
        # cycles takes milliseconds and stalls nobody.
        gc.freeze()
        started = asyncio.create_task(asyncio.to_thread(self._manager.start, self._config))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                started.result()
                await self._serve(stopped)
        finally:
            if self._batching is not None:
                self._batching.stop()
            await asyncio.to_thread(self._request_log.stop)
            await asyncio.to_thread(self._manager.stop)
            with suppress(ServingError):
                await started

    def _read_config(self) -> ModelServerConfig:
        if self._flags.model_config_file:
            return read_model_config(self._flags.model_config_file)
        _LOG.info(
            "Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
            self._flags.model_name,
            self._flags.model_base_path,
        )
        return single_model_config(self._flags.model_name, self._flags.model_base_path)

    def _load(self, name: str, version: VersionOnDisk) -> LoadedModel:
        flags = self._flags
        session_threads = flags.tensorflow_session_parallelism
        options = LoadOptions(
            tags=tuple(flags.saved_model_tags.split(",")),
            intra_op_threads=flags.tensorflow_intra_op_parallelism or session_threads,
            inter_op_threads=flags.tensorflow_inter_op_parallelism or session_threads,
            allow_xla=flags.xla_cpu_compilation_enabled or flags.xla_gpu_compilation_enabled,
            gpu_memory_fraction=flags.per_process_gpu_memory_fraction,
            check_method_names=flags.enable_signature_method_name_check,
        )
        status = Code.UNKNOWN
        try:
            model = LoadedModel(version.path, options)
            try:
                self._prepare(model)
            except Exception:
                model.close()
                raise
            status = Code.OK
            return model
        except ServingError as error:
            status = error.code
            raise
        finally:
            self._metrics.load_attempts.add(str(version.path), status.name)

    def _prepare(self, model: LoadedModel) -> None:
        """Warm a model up and, where that is asked for, batch what comes after."""
        flags = self._flags
        if flags.enable_model_warmup:
            count = warm_up(
                model,
                flags.num_request_iterations_for_warmup,
                flags.max_request_bytes,
                self._metrics,
            )
            _LOG.info("Replayed %d warm-up requests of %s", count, model.path)
        if self._batching is not None:
            self._batching.add(model)

    def _check_ports(self) -> None:
        """Refuse a taken port before the models are loaded, not minutes after."""
        for name in ("port", "rest_api_port"):
            if number := getattr(self._flags, name):
                _bound_socket(self._flags.bind_address, number, name).close()

    async def _serve(self, stopped: asyncio.Task[bool]) -> None:
        flags = self._flags
        backend = Backend(
            manager=self._manager,
            workers=Workers(flags.rest_api_num_threads, flags.max_queued_requests),
            metrics=self._metrics,
            request_log=self._request_log,
            max_request_bytes=flags.max_request_bytes,
        )
        address = flags.bind_address
        grpc_server = make_grpc_server(backend, flags.enable_serialization_as_tensor_content)
        _add_grpc_port(grpc_server, address, flags.port)
        await grpc_server.start()
        _LOG.info("Running gRPC ModelServer at %s:%d ...", address, flags.port)
        rest: _RestServer | None = None
        rest_task: asyncio.Task[None] | None = None
        if flags.rest_api_port:
            rest = self._rest_server(backend)
            listener = _bound_socket(address, flags.rest_api_port, "rest_api_port")
            rest_task = asyncio.create_task(rest.serve(sockets=[listener]))
            _LOG.info("Exporting HTTP/REST API at:%s:%d ...", address, flags.rest_api_port)
        polling = asyncio.create_task(self._poll_config())
        await asyncio.wait(
            {stopped, *([rest_task] if rest_task else [])}, return_when=asyncio.FIRST_COMPLETED
        )
        _LOG.info("Draining: running requests are completed, new ones are not accepted")
        polling.cancel()
        self._manager.drain()
        if rest is not None:
            rest.should_exit = True
        if self._batching is not None:
            self._batching.drain()
        await grpc_server.stop(flags.drain_timeout_in_ms / 1000)
        if rest_task is not None:
            await rest_task
        backend.workers.stop()

    def _rest_server(self, backend: Backend) -> _RestServer:
        flags = self._flags
        client_timeout_s = flags.client_timeout_in_ms / 1000
        app = RestApp(
            backend,
            metrics_path=self._metrics_path,
            timeout_ms=flags.rest_api_timeout_in_ms,
            client_timeout_s=client_timeout_s,
            cors=flags.rest_api_enable_cors_support,
        )
        return _RestServer(
            uvicorn.Config(
                app,
                http=bounded_protocol(flags.max_connections, client_timeout_s),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, flags.drain_timeout_in_ms // 1000),
            )
        )

    async def _poll_config(self) -> None:
        """Read ``--model_config_file`` again every so often, as it may be rewritten."""
        seconds = self._flags.model_config_file_poll_wait_seconds
        while seconds > 0 and self._flags.model_config_file:
            await asyncio.sleep(seconds)
            try:
                config = read_model_config(self._flags.model_config_file)
                await asyncio.to_thread(self._manager.reload, config)
            except ServingError as error:
                _LOG.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", error)


def _bound_socket(address: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise _taken(address, port, flag, error) from None
    return bound


def _add_grpc_port(server: object, address: str, port: int) -> None:
    host = f"[{address}]" if ":" in address else address
    try:
        server.add_insecure_port(f"{host}:{port}")  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise _taken(address, port, "port", error) from None


def _taken(address: str, port: int, flag: str, error: Exception) -> ServingError:
    return ServingError(
        Code.UNAVAILABLE,
        f"cannot listen on {address}:{port} (--{flag}): {error}. Stop the process that "
        "listens there, or choose another port",
    )
