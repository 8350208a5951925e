"""`tallygraph kfp`: the pipeline on Kubeflow Pipelines."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail, out, quiet_stderr
from pipelines.config import ConfigError, load_config

if TYPE_CHECKING:
    from pipelines.kubeflow.compiled import CompiledPipeline
    from pipelines.kubeflow.server import KubeflowServer

app = typer.Typer(help="The pipeline on Kubeflow Pipelines.", no_args_is_help=True)

TOKEN_VARIABLE: Final = "TALLYGRAPH_KFP_TOKEN"
_SCHEDULED_TIME: Final = "[[ScheduledTime]]"
# Spans that are days. Those of {SPAN} may be any numbers: of these the newest is read.
_DAYS: Final = "{YYYY}"

File = Annotated[Path, typer.Argument(help="Compiled pipeline.", exists=True, dir_okay=False)]
Host = Annotated[str, typer.Option(help="URL of the server.", envvar="TALLYGRAPH_KFP_HOST")]
Namespace = Annotated[str, typer.Option(help="Namespace in a multi-user installation.")]
CaFile = Annotated[str, typer.Option(help="PEM file of certificates to trust.")]
Experiment = Annotated[str, typer.Option(help="Experiment that the runs belong to.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="Parameter of the run: name=value. May be repeated."),
]
Root = Annotated[str, typer.Option(help="Pipeline root; empty for the compiled one.")]


@app.callback()
def _group() -> None:
    """The pipeline on Kubeflow Pipelines."""


@app.command("compile")
def compile_(
    config: Annotated[Path, typer.Option(help="TOML file of settings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file to write.")] = Path(
        "kfp/pipeline.yaml"
    ),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: section.key=value.")
    ] = None,
) -> None:
    """Write the pipeline as a YAML file for a Kubeflow Pipelines server."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        settings = load_config(config, set_ or [])
        with quiet_stderr():
            from pipelines.kubeflow.compile import compile_pipeline

            text = compile_pipeline(settings)
    except ConfigError as error:
        fail(str(error), EXIT_BAD_INPUT)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    out.print(f"pipeline [bold]{settings.pipeline.name}[/] compiled to {output}")


@app.command()
def submit(
    file: File,
    host: Host,
    namespace: Namespace = "",
    ca_file: CaFile = "",
    experiment: Experiment = "tallygraph",
    parameter: Parameters = None,
    pipeline_root: Root = "",
    name: Annotated[
        str, typer.Option(help="Name of the run; empty for one made from the time.")
    ] = "",
) -> None:
    """Upload the pipeline, unless it was uploaded already, and start a run."""
    with _server(host, namespace, ca_file) as server:
        compiled = _compiled(file)
        parameters = compiled.check_parameters(_pairs(parameter))
        version = server.upload(file, compiled.name)
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        run_name = name or f"{compiled.name} {now}"
        run_id = server.start_run(run_name, experiment, version, parameters, pipeline_root)
    what = "uploaded" if version.created else "was there already"
    out.print(f"version {version.name} of {compiled.name} {what}")
    out.print(f"run [bold]{run_id}[/] started: {run_name}")


@app.command()
def schedule(
    file: File,
    host: Host,
    cron: Annotated[
        str,
        typer.Option(
            help="Cron expression of six fields, seconds first, UTC: '0 0 3 * * *' is daily at "
            "3:00."
        ),
    ],
    namespace: Namespace = "",
    ca_file: CaFile = "",
    experiment: Experiment = "tallygraph",
    parameter: Parameters = None,
    pipeline_root: Root = "",
    name: Annotated[str, typer.Option(help="Name of the schedule.")] = "tallygraph",
) -> None:
    """Run the pipeline at certain times; replaces the schedule of the same name.

    Where the corpus has a span for each day ({YYYY}, {MM}, {DD}) and no span is given, each
    run reads that of its own day; of {SPAN} it reads the newest.
    """
    from pipelines.kubeflow.cron import CronError, check_cron

    try:
        check_cron(cron)
    except CronError as error:
        fail(str(error), EXIT_BAD_INPUT)
    with _server(host, namespace, ca_file) as server:
        compiled = _compiled(file)
        parameters = compiled.check_parameters(_pairs(parameter))
        corpus = parameters.get("corpus", compiled.defaults.get("corpus") or "")
        if "span" not in parameters and _DAYS in corpus:
            parameters["span"] = _SCHEDULED_TIME
        version = server.upload(file, compiled.name)
        made = server.schedule(name, experiment, cron, version, parameters, pipeline_root)
    how = "is set" if made.changed else "was so already"
    out.print(f"schedule [bold]{name}[/] {how}: {cron}, version {version.name}")
    for key, value in sorted(parameters.items()):
        out.print(f"  {key} = {value}", markup=False)


@app.command()
def unschedule(
    host: Host,
    namespace: Namespace = "",
    ca_file: CaFile = "",
    experiment: Experiment = "tallygraph",
    name: Annotated[str, typer.Option(help="Name of the schedule.")] = "tallygraph",
) -> None:
    """Delete a schedule. Runs that it has started continue."""
    with _server(host, namespace, ca_file) as server:
        deleted = server.unschedule(name, experiment)
    out.print(f"schedule {name} {'deleted' if deleted else 'was not there'}")


@app.command()
def status(
    host: Host,
    namespace: Namespace = "",
    ca_file: CaFile = "",
    experiment: Experiment = "tallygraph",
    runs: Annotated[
        int, typer.Option(help="Number of runs to show, newest first.", min=1)
    ] = 10,
) -> None:
    """Show the schedules and the newest runs of an experiment."""
    with _server(host, namespace, ca_file) as server:
        schedules = server.schedules(experiment)
        newest = server.runs(experiment, runs)
    table = Table("schedule", "cron", "on", "span", box=None)
    for listed in schedules:
        span = listed.parameters.get("span", "")
        table.add_row(listed.name, listed.cron, "yes" if listed.enabled else "no", span)
    out.print(table)
    table = Table("run", "name", "state", "created", "error", box=None)
    for run in newest:
        table.add_row(run.run_id, run.name, run.state, run.created_at, run.error)
    out.print(table)


@contextlib.contextmanager
def _server(host: str, namespace: str, ca_file: str) -> Iterator[KubeflowServer]:
    try:
        from pipelines.kubeflow.compiled import CompiledPipelineError
        from pipelines.kubeflow.server import KubeflowServer
        from pipelines.kubeflow.server_errors import KubeflowError
    except ModuleNotFoundError as error:
        fail(
            f"{error.name} is not installed. Kubeflow's client comes with the pipeline: "
            "pip install 'tallygraph[pipeline]'"
        )
    try:
        yield KubeflowServer(host, namespace, os.environ.get(TOKEN_VARIABLE, ""), ca_file)
    except CompiledPipelineError as error:
        fail(str(error), EXIT_BAD_INPUT)
    except KubeflowError as error:
        fail(str(error), EXIT_FAILED)


def _compiled(file: Path) -> CompiledPipeline:
    from pipelines.kubeflow.compiled import read_compiled

    return read_compiled(file)


def _pairs(parameters: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in parameters or []:
        name, equals, value = text.partition("=")
        if not (equals and name):
            fail(f"--parameter expects name=value. Received: {text!r}", EXIT_BAD_INPUT)
        pairs[name] = value
    return pairs
