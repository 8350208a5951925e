"""The command line: ``tensorflow_model_server``'s own flags, and a few of ours.

A flag is written ``--flag=value`` or ``--flag value``. There are three kinds, because
a server that silently ignores a flag is worse than one that refuses it:

- flags that work here as they do in TensorFlow Serving;
- flags that only tune TensorFlow Serving's own implementation (``TUNING_ONLY``): accepted, and
  listed once in the log as having no effect;
- flags that would change what is served or who may call (``NOT_SUPPORTED``), and unknown flags:
  refused, and the message names them.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import NoReturn

DEFAULT_THREADS = 4 * (os.cpu_count() or 1)

TUNING_ONLY = {
    "flush_filesystem_caches": "true",
    "num_unload_threads": "0",
    "remove_unused_fields_from_bundle_metagraph": "true",
    "num_tflite_pools": "",
    "num_tflite_interpreters_per_pool": "1",
    "enable_profiler": "true",
    "skip_initialize_tpu": "false",
    "grpc_max_threads": "",
}

# The value is the default, with which the flag is harmless and may be given.
NOT_SUPPORTED = {
    "grpc_socket_path": "",
    "tensorflow_session_config_file": "",
    "use_alts_credentials": "false",
    "ssl_config_file": "",
    "platform_config_file": "",
    "grpc_channel_arguments": "",
    "prefer_tflite_model": "false",
    "thread_pool_factory_config_file": "",
    "mixed_precision": "",
    "enable_grpc_healthcheck_service": "false",
}


@dataclass(frozen=True)
class ServerFlags:
    """The parsed command line. Ports are TCP ports; REST port 0 disables the REST API."""

    port: int = 8500
    rest_api_port: int = 0
    rest_api_num_threads: int = DEFAULT_THREADS
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    allow_version_labels_for_unavailable_models: bool = False
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    model_name: str = "default"
    model_base_path: str = ""
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    file_system_poll_wait_seconds: int = 1
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    saved_model_tags: str = "serve"
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    monitoring_config_file: str = ""
    enable_signature_method_name_check: bool = False
    xla_cpu_compilation_enabled: bool = False
    xla_gpu_compilation_enabled: bool = False
    per_process_gpu_memory_fraction: float = 0.0
    enable_serialization_as_tensor_content: bool = False
    version: bool = False
    # Ours.
    enable_tensor_float_32: bool = False
    bind_address: str = "127.0.0.1"
    max_request_bytes: int = 64 * 1024 * 1024
    max_queued_requests: int = 256
    max_connections: int = 512
    client_timeout_in_ms: int = 30_000
    drain_timeout_in_ms: int = 30_000
    request_log_max_file_bytes: int = 64 * 1024 * 1024
    exit_with_process: int = 0
    without_effect: tuple[str, ...] = field(default=())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


_HELP = {
    "port": "gRPC port",
    "rest_api_port": "REST port; 0: no REST",
    "rest_api_num_threads": "requests that are read, computed or answered at the same time, "
    "including gRPC; those that wait in a batch are not counted",
    "rest_api_timeout_in_ms": "time limit of a REST call, which fails with 504 after it",
    "rest_api_enable_cors_support": "send CORS headers",
    "enable_batching": "compute requests that arrive at the same time together",
    "batching_parameters_file": "text proto of a BatchingParameters, for --enable_batching",
    "enable_per_model_batching_parameters": "read the parameters, except the threads, from "
    "batching_params.pbtxt in each version's folder; a version without it is not batched",
    "allow_version_labels_for_unavailable_models": "a new label may name a version that is "
    "not loaded yet",
    "model_config_file": "text proto of a ModelServerConfig",
    "model_config_file_poll_wait_seconds": "interval at which the model config is read again; "
    "0: never",
    "model_name": "name of the one model (without --model_config_file)",
    "model_base_path": "absolute folder of version folders (without --model_config_file)",
    "num_load_threads": "versions loaded at the same time",
    "max_num_load_retries": "attempts after a failed load",
    "load_retry_interval_micros": "microseconds between those attempts",
    "file_system_poll_wait_seconds": "interval between checks for new versions; 0: check once",
    "tensorflow_session_parallelism": "threads of both TensorFlow pools",
    "tensorflow_intra_op_parallelism": "threads inside one op",
    "tensorflow_inter_op_parallelism": "ops at the same time",
    "saved_model_tags": "comma-separated tags of the meta graph",
    "enable_model_warmup": "replay assets.extra/tf_serving_warmup_requests before AVAILABLE",
    "num_request_iterations_for_warmup": "times that each warm-up request is replayed",
    "monitoring_config_file": "text proto of a MonitoringConfig",
    "enable_signature_method_name_check": "refuse signatures with an unknown method name",
    "xla_cpu_compilation_enabled": "allow Xla... ops and functions saved with jit_compile",
    "xla_gpu_compilation_enabled": "the same: either allows both, as in TensorFlow Serving",
    "per_process_gpu_memory_fraction": "share of a GPU's memory that is taken at once; 0 takes "
    "what is needed when it is needed",
    "enable_serialization_as_tensor_content": "use tensor_content in gRPC responses",
    "version": "print the version and exit",
    "enable_tensor_float_32": "on a GPU, multiply float32 with ten bits of each factor; a "
    "row's answer may then differ with its batch (Tallygraph's own flag)",
    "bind_address": "address to listen on (Tallygraph's own flag; 0.0.0.0 for every one)",
    "max_request_bytes": "largest request body or gRPC message (Tallygraph's own flag)",
    "max_queued_requests": "requests that may wait for a thread or in a batch; more are "
    "refused with UNAVAILABLE (Tallygraph's own flag)",
    "max_connections": "REST connections at the same time (Tallygraph's own flag)",
    "client_timeout_in_ms": "time limit for a client to send its request, after which it is "
    "disconnected (Tallygraph's own flag)",
    "drain_timeout_in_ms": "time that running requests have after SIGTERM (Tallygraph's own "
    "flag)",
    "request_log_max_file_bytes": "size of a request log's file at which it is closed and a "
    "new one is started (Tallygraph's own flag)",
    "exit_with_process": "stop when the process with this id has ended; 0: never "
    "(Tallygraph's own flag)",
}


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1"):
        return True
    if lowered in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false. Received: {text!r}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tallygraph-model-server",
        description="A local server that speaks TensorFlow Serving's REST and gRPC APIs and "
        "takes tensorflow_model_server's flags.",
        allow_abbrev=False,
    )
    defaults = ServerFlags()
    for name, text in _HELP.items():
        default = getattr(defaults, name)
        if isinstance(default, bool):
            parser.add_argument(
                f"--{name}",
                type=_boolean,
                nargs="?",
                const=True,
                default=default,
                metavar="BOOL",
                help=f"{text} (default {str(default).lower()})",
            )
        else:
            parser.add_argument(
                f"--{name}",
                type=type(default),
                default=default,
                metavar=type(default).__name__.upper(),
                help=f"{text} (default {default!r})",
            )
    for name in (*TUNING_ONLY, *NOT_SUPPORTED):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    return parser


def _is_default(given: str, default: str) -> bool:
    """Whether the value given is the flag's default, however it is spelled."""
    spellings = {"": {""}, "false": {"false", "0"}, "0": {"0", "0.0"}}
    return given.lower() in spellings.get(default, {default})


def parse_flags(arguments: list[str]) -> ServerFlags:
    """Read a command line.

    Args:
      arguments: the command line without the program's name.

    Raises:
      SystemExit: a flag is unknown, unsupported or malformed, or none says what to serve; the
        message is on standard error.
    """
    parser = _parser()
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"unknown argument: {unknown[0]}")
    values = vars(parsed)
    for name, default in NOT_SUPPORTED.items():
        given = values.pop(name)
        if given is not None and not _is_default(given, default):
            parser.error(
                f"--{name} is a flag of tensorflow_model_server that this server does not "
                f"support. Received: {given!r}. Leave it out, or use tensorflow_model_server"
            )
    without_effect = [name for name in TUNING_ONLY if values.pop(name) is not None]
    if parsed.enable_per_model_batching_parameters and not parsed.enable_batching:
        without_effect.append("enable_per_model_batching_parameters")
    flags = ServerFlags(**values, without_effect=tuple(without_effect))
    if problem := _problem(flags):
        parser.error(problem)
    return flags


def _problem(flags: ServerFlags) -> str | None:
    if flags.version:
        return None
    if not flags.model_base_path and not flags.model_config_file:
        return "neither --model_base_path nor --model_config_file is given. Give one of them"
    if flags.batching_parameters_file and not flags.enable_batching:
        return (
            "--batching_parameters_file is set without setting --enable_batching to true. "
            f"Received: {flags.batching_parameters_file!r}"
        )
    if flags.port == 0:
        return "--port must not be 0: it is the gRPC API's port, which cannot be switched off"
    if flags.port == flags.rest_api_port:
        return f"--rest_api_port must differ from --port. Received: {flags.port} for both"
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(flags, name) <= 65535:
            return f"--{name} must be a TCP port. Received: {getattr(flags, name)}"
    for name in (
        "rest_api_num_threads",
        "max_request_bytes",
        "max_connections",
        "request_log_max_file_bytes",
    ):
        if getattr(flags, name) < 1:
            return f"--{name} must be at least 1. Received: {getattr(flags, name)}"
    if not 0 <= flags.per_process_gpu_memory_fraction <= 1:
        return (
            "--per_process_gpu_memory_fraction must be from 0 to 1. Received: "
            f"{flags.per_process_gpu_memory_fraction}"
        )
    for name in ("file_system_poll_wait_seconds", "max_num_load_retries"):
        if getattr(flags, name) < 0:
            return f"--{name} must be at least 0. Received: {getattr(flags, name)}"
    parallelism = (
        flags.tensorflow_session_parallelism,
        flags.tensorflow_intra_op_parallelism,
        flags.tensorflow_inter_op_parallelism,
    )
    if all(value > 0 for value in parallelism):
        return (
            "give either --tensorflow_session_parallelism or the intra and inter op "
            f"parallelism. Received all three: {parallelism}"
        )
    return None
