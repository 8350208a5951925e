"""`tallygraph schedule`: `tallygraph run` at certain times, by cron or by systemd."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail
from pipelines.config import ConfigError, load_config
from pipelines.schedule.cron_field import CronError
from pipelines.schedule.crontab import crontab_line
from pipelines.schedule.scheduled_run import ScheduledRun, ScheduleError, absolute_corpus
from pipelines.schedule.systemd import service_unit, timer_unit
from pipelines.schedule.times import Times, read_times

app = typer.Typer(help="Schedule runs on this machine.", no_args_is_help=True)

_NAME: Final = "tallygraph-run"
# {SPAN}, or {SPAN:2}: where a corpus has the numbers of its spans; or their days.
_SPANS: Final = ("{SPAN", "{YYYY}")

Config = Annotated[Path, typer.Option(help="TOML file of settings.")]
At = Annotated[
    str,
    typer.Option(
        help="Cron expression of five fields, local time: '0 3 * * *' is daily at 3:00."
    ),
]
Corpus = Annotated[
    str, typer.Option(help="File, folder, glob or {SPAN} pattern; empty for corpus.path.")
]
Output = Annotated[Path, typer.Option(help="Folder for all outputs.")]
Span = Annotated[
    str,
    typer.Option(
        help="Span to train on, as for `tallygraph run --span`; empty: the latest, if the "
        "corpus has {SPAN} or {YYYY}."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting: section.key=value. May be repeated."),
]


@app.command()
def cron(
    config: Config,
    at: At,
    corpus: Corpus = "",
    output: Output = Path("build"),
    span: Span = "",
    set_: Overrides = None,
) -> None:
    """Print a line for `crontab -e`. Nothing is installed."""
    run, times = _scheduled(config, at, corpus, output, span, set_)
    print(crontab_line(run, times))


@app.command()
def systemd(
    config: Config,
    at: At,
    corpus: Corpus = "",
    output: Output = Path("build"),
    span: Span = "",
    set_: Overrides = None,
    user: Annotated[str, typer.Option(help="User that the service runs as; empty: you.")] = "",
    write: Annotated[
        Path | None,
        typer.Option(help="Folder to write the two files to; if not given, they are printed."),
    ] = None,
) -> None:
    """Print a service and its timer for systemd, or write them. Nothing is started."""
    run, times = _scheduled(config, at, corpus, output, span, set_)
    try:
        service = service_unit(run, user or getpass.getuser())
    except ScheduleError as error:
        fail(str(error), EXIT_BAD_INPUT)
    units = {f"{_NAME}.service": service, f"{_NAME}.timer": timer_unit(times)}
    if write is None:
        print(
            "\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in units.items())
        )
        return
    for name, text in units.items():
        file = write / name
        try:
            write.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            fail(f"{file} could not be written: {error.strerror}")
        print(file)


def _scheduled(
    config: Path, at: str, corpus: str, output: Path, span: str, overrides: list[str] | None
) -> tuple[ScheduledRun, Times]:
    folder = Path.cwd()
    try:
        settings = load_config(config, overrides or [])
        source = corpus or settings.corpus.path
        if not source:
            raise ScheduleError(
                f"no corpus given. Expected: --corpus PATH, or corpus.path in {config}."
            )
        run = ScheduledRun(
            executable=_executable(),
            folder=folder,
            config=config.absolute(),
            output=output.absolute(),
            corpus=absolute_corpus(corpus, folder),
            span=span or ("latest" if any(each in source for each in _SPANS) else ""),
            overrides=tuple(overrides or ()),
        )
        return run, read_times(at)
    except (ConfigError, CronError, ScheduleError) as error:
        fail(str(error), EXIT_BAD_INPUT)


def _executable() -> Path:
    """The `tallygraph` of this environment, independent of the shell's PATH."""
    file = Path(sys.executable).with_name("tallygraph")
    if not file.is_file():
        raise ScheduleError(
            f"{file} does not exist. Expected: it is installed together with tallygraph."
        )
    return file
