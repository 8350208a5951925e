"""`tallygraph serve`: start a model server for the pushed versions."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.cli.locations import (
    OUTPUT,
    ConfigFile,
    ModelDir,
    ModelName,
    Output,
    find_served,
)
from pipelines.layout import OutputLayout
from serving.version_folders import complete_versions

if TYPE_CHECKING:
    from serving.engines import Batching, ServerSpec

REST_PORT = 8501  # TensorFlow Serving's own defaults
GRPC_PORT = 8500
LOCAL_PROGRAM = "tallygraph-model-server"


def serve(
    output: Output = OUTPUT,
    config: ConfigFile = None,
    model_dir: ModelDir = None,
    model_name: ModelName = "",
    model_config: Annotated[
        Path | None,
        typer.Option(
            help="The server's model config file, with versions and labels; created if "
            "missing. Default: models.config next to the model's folder."
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Server to start: auto, local, binary (tensorflow_model_server) or docker "
            "(its image)."
        ),
    ] = "auto",
    binary: Annotated[
        str,
        typer.Option(help="Path of tensorflow_model_server; empty: it is searched on PATH."),
    ] = "",
    image: Annotated[
        str, typer.Option(help="Docker image of TensorFlow Serving.")
    ] = "tensorflow/serving",
    rest_port: Annotated[int, typer.Option(help="REST port; 0 for a free one.")] = REST_PORT,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 for a free one.")] = GRPC_PORT,
    log_file: Annotated[
        Path | None,
        typer.Option(
            help="File for the server's log. Default: logs/model-server.log in the output "
            "folder."
        ),
    ] = None,
    timeout_s: Annotated[
        int, typer.Option(help="Longest wait until the model is AVAILABLE, in seconds.")
    ] = 300,
    max_batch_size: Annotated[
        int,
        typer.Option(
            help="Batch up to this many rows of different requests together; 0: no batching."
        ),
    ] = 0,
    batch_timeout_micros: Annotated[
        int,
        typer.Option(help="Longest time that a batch waits for more rows, in microseconds."),
    ] = 5_000,
    server_threads: Annotated[
        int,
        typer.Option(
            min=0,
            help="Requests that the server works on at the same time; 0: enough for 4 batches "
            "of --max-batch-size, or for 64 gRPC clients.",
        ),
    ] = 0,
    xla: Annotated[
        bool,
        typer.Option(
            "--xla",
            help="Allow the server to compile with XLA. For a pushed version that was exported "
            "with export.xla, it is allowed without this flag.",
        ),
    ] = False,
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu",
            help="Give a container this machine's GPUs, and take GPU memory as it is needed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Write the config files and print the command line, without starting the "
            "server.",
        ),
    ] = False,
) -> None:
    """Serve the newest pushed version, and each newer one when it appears, until stopped.

    Versions that have labels (`tallygraph versions`) are served instead of the newest.
    """
    from serving.engines import (
        XLA_FLAGS,
        CompiledVersions,
        EngineError,
        ServerFiles,
        default_model_config,
    )
    from serving.model_config import ModelConfigError

    served = find_served(config, output, model_dir, model_name)
    name, model_dir = served.name, served.folder
    log_file = log_file or output / "logs" / "model-server.log"
    if not complete_versions(model_dir):
        fail(
            f"{model_dir} contains no version. Expected: folders whose names are numbers, "
            "as `tallygraph run` pushes them; use --output for the output folder of another "
            f"run, or --model-dir for another folder.{_why_nothing_is_pushed(output)}",
            EXIT_BAD_INPUT,
        )
    compiled = CompiledVersions.of(model_dir)
    try:
        batching = _batching(max_batch_size, batch_timeout_micros)
        files = ServerFiles.write(
            model_config or default_model_config(model_dir),
            name,
            model_dir,
            compiled.batching(batching) if batching else None,
            server_threads,
        )
        spec = files.spec(
            (name,),
            XLA_FLAGS if xla else compiled.flags(),
            grpc_port=grpc_port,
            rest_port=rest_port,
            log_file=log_file,
        )
        spec = replace(spec, gpu=gpu)
        if dry_run:
            print(_command_line(engine, binary, image, spec))
            return
        log_file.parent.mkdir(parents=True, exist_ok=True)
        _serve(engine, binary, image, spec, compiled.patience_s(timeout_s))
    except (EngineError, ModelConfigError) as error:
        fail(str(error))


def _batching(max_batch_size: int, batch_timeout_micros: int) -> Batching | None:
    from serving.engines import Batching

    if max_batch_size == 0:
        return None
    try:
        return Batching(
            max_batch_size=max_batch_size,
            batch_timeout_micros=batch_timeout_micros,
            num_batch_threads=os.cpu_count() or 1,
        )
    except ValueError as error:
        fail(str(error), EXIT_BAD_INPUT)


def _command_line(engine: str, binary: str, image: str, spec: ServerSpec) -> str:
    """The command that would be run, for a shell in this folder. The program need not be
    installed."""
    from serving.engines import GPU_ENVIRONMENT, choose_engine, docker_command

    spec = spec.with_ports()
    if engine == "auto":
        engine = choose_engine(engine, binary or None, image).name
    if engine == "docker":
        command = docker_command(spec, image)
    elif engine == "binary":
        command = [binary or "tensorflow_model_server", *spec.arguments()]
        if spec.gpu:
            command = ["env", *(f"{k}={v}" for k, v in GPU_ENVIRONMENT.items()), *command]
    else:
        command = [str(Path(sys.prefix, "bin", LOCAL_PROGRAM)), *spec.arguments()]
    here = str(Path.cwd())
    words = [shlex.quote(word) for word in command]
    return " ".join(
        f'"{word.replace(here, "$PWD")}"' if here in word and word == raw else word
        for word, raw in zip(words, command, strict=True)
    )


def _serve(engine: str, binary: str, image: str, spec: ServerSpec, timeout_s: float) -> None:
    from serving.engines import choose_engine

    # A service manager stops a service by SIGTERM; let the server end in order then too.
    signal.signal(signal.SIGTERM, _interrupt)
    (name,) = spec.model_names
    try:
        chosen = choose_engine(engine, binary or None, image)
        out.print(f"engine {chosen.name}: {chosen.description}")
        with chosen.start(spec) as server:
            server.wait_until_available(timeout_s)
            out.print(f"[green]AVAILABLE[/] {name}")
            out.print(f"  REST {server.rest_url}/v1/models/{name}:predict")
            out.print(f"  gRPC {server.grpc_address}")
            out.print(f"  log  {spec.log_file}")
            status = server.wait()
            fail(str(server.error(f"ended with status {status}")))
    except KeyboardInterrupt:
        out.print("stopped")


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _why_nothing_is_pushed(output: Path) -> str:
    """Where the last run into a folder says why it pushed nothing, if there was one."""
    reports = OutputLayout(output, "").report_file.parent.glob("*.html")
    newest = max(reports, key=lambda report: report.stat().st_mtime, default=None)
    return f" The report of the last run says what kept it back: {newest}" if newest else ""
