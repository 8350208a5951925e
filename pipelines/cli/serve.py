"""`tallygraph serve`: a model server on what was pushed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out

REST_PORT = 8501  # TensorFlow Serving's own defaults
GRPC_PORT = 8500


def serve(
    model_dir: Annotated[
        Path, typer.Option(help="Folder whose numbered folders are the versions.")
    ] = Path("build/serving/summarizer"),
    model_name: Annotated[
        str, typer.Option(help="Name it is served under; empty takes the folder's.")
    ] = "",
    engine: Annotated[
        str, typer.Option(help="auto, local, or binary for a tensorflow_model_server.")
    ] = "auto",
    rest_port: Annotated[int, typer.Option(help="REST port; 0 for a free one.")] = REST_PORT,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0 for a free one.")] = GRPC_PORT,
    log_file: Annotated[Path, typer.Option(help="Where the server's log goes.")] = Path(
        "build/logs/model-server.log"
    ),
    timeout_s: Annotated[int, typer.Option(help="Longest wait until AVAILABLE.")] = 300,
    xla: Annotated[
        bool, typer.Option("--xla", help="For models of export.xla: let the server compile.")
    ] = False,
) -> None:
    """Serve the newest pushed version, and every newer one as it appears, until stopped."""
    from serving.engines import XLA_FLAGS, EngineError, ServerSpec, choose_engine

    if not any(path.name.isdecimal() for path in model_dir.glob("*")):
        fail(
            f"{model_dir} holds no version. Expected folders named by numbers, as "
            "`tallygraph run` pushes them; --model-dir names another place.",
            EXIT_BAD_INPUT,
        )
    name = model_name or model_dir.resolve().name
    log_file.parent.mkdir(parents=True, exist_ok=True)
    spec = ServerSpec.single(
        name,
        model_dir,
        XLA_FLAGS if xla else None,
        grpc_port=grpc_port,
        rest_port=rest_port,
        log_file=log_file,
    )
    # A service manager stops a service by SIGTERM; let the server end in order then too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        chosen = choose_engine(engine)
        out.print(f"engine {chosen.name}: {chosen.description}")
        with chosen.start(spec) as server:
            server.wait_until_available(timeout_s)
            out.print(f"[green]AVAILABLE[/] {name}")
            out.print(f"  REST {server.rest_url}/v1/models/{name}:predict")
            out.print(f"  gRPC {server.grpc_address}")
            out.print(f"  log  {log_file}")
            status = server.wait()
            fail(str(server.error(f"ended with status {status}")))
    except EngineError as error:
        fail(str(error))
    except KeyboardInterrupt:
        out.print("stopped")


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
