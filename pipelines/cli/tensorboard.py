"""`tallygraph tensorboard`: the curves of training runs, in a browser."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out, quiet_stderr
from pipelines.config import ConfigError, load_config
from pipelines.layout import OutputLayout

_HOST: Final = "127.0.0.1"  # what is shown is for whoever runs it, and not for the network
_PORT: Final = 6006  # TensorBoard's own default


def tensorboard(
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings; without it, all pipelines are shown."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Output folder of `tallygraph run`.")] = Path(
        "build"
    ),
    log_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of one run's logs, as its report names it."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port; 0 for a free one.")
    ] = _PORT,
) -> None:
    """Show training runs in TensorBoard, those in progress too, until stopped.

    It can be reached from this machine only.
    """
    logs = log_dir or _logs(config, output)
    if not logs.is_dir():
        fail(
            f"{logs} does not exist. Expected: the logs of a training, which `tallygraph run` "
            "writes from its first step on; use --output, --config or --log-dir for another "
            "location.",
            EXIT_BAD_INPUT,
        )
    _show(logs, port)


def _logs(config: Path | None, output: Path) -> Path:
    """Where Trainer writes the events of every run: one pipeline's, or all."""
    if config is None:
        return output.resolve() / "pipelines"
    try:
        name = load_config(config).pipeline.name
    except ConfigError as error:
        fail(str(error), EXIT_BAD_INPUT)
    return OutputLayout(output.resolve(), name).training_logs


def _show(logs: Path, port: int) -> None:
    with quiet_stderr():  # TensorFlow, with which it reads the files, greets
        from tensorboard import program

    board = program.TensorBoard()
    flags = {
        "--logdir": str(logs),
        "--host": _HOST,
        "--port": str(port),
        "--load_fast": "false",  # no second process: a run's events are a few kilobytes
    }
    board.configure(argv=["", *(word for flag in flags.items() for word in flag)])
    # Of a service manager the one; the other may be ignored by what started this.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _interrupt)
    try:
        url = board.launch()
        out.print(f"[green]TensorBoard[/] {url}")
        out.print(f"  logs {logs}")
        out.print("  stop it with Ctrl-C")
        while True:
            signal.pause()
    except program.TensorBoardServerException as error:
        fail(str(error))
    except KeyboardInterrupt:
        out.print("stopped")


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
