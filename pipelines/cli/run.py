"""`tallygraph run`: the whole pipeline on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from components.model_registry import RegistryError
from pipelines.champion import registered_champion, with_champion
from pipelines.cli.console import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOT_BLESSED,
    fail,
    logs_to_file,
)
from pipelines.cli.continuous import RunRequest
from pipelines.cli.continuous import plan as plan_of
from pipelines.cli.interrupts import interrupts_answered
from pipelines.cli.locations import find_served
from pipelines.cli.prices import PLAN, Plan, Prices, quoted
from pipelines.cli.run_folder import folders_of_one_run
from pipelines.cli.training_worker import train_as_worker
from pipelines.config import ConfigError, load_config
from pipelines.config_sections import CHAMPION
from pipelines.last_run import StartedRun, changes_since, shown_settings
from pipelines.layout import OutputLayout
from pipelines.training.cluster import Cluster, ClusterError

if TYPE_CHECKING:
    from pipelines.local_runner import NodeResult
    from pipelines.node_definitions import NodeDefinition
    from pipelines.price_quote import PriceQuote
    from pipelines.report.model import RunReport


def run(
    config: Annotated[Path, typer.Option(help="TOML file of settings.")],
    corpus: Annotated[
        str | None, typer.Option(help="File, folder or glob; overrides corpus.path.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path(
        "build"
    ),
    span: Annotated[
        str,
        typer.Option(
            help="Spans to read of a corpus with {SPAN}, or {YYYY}, {MM} and {DD}, in its "
            "path: latest, latest:3 for the newest three, 7, 5-7, or 2026-01-31. With latest, "
            "a run without a newer span than the champion's ends at once."
        ),
    ] = "",
    prices: Prices = None,
    plan: Plan = PLAN,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting: section.key=value. Repeatable."),
    ] = None,
) -> None:
    """Train, meter, evaluate, validate and push. Unchanged steps come from the cache.

    With --prices the report says what a summary costs. A process that TF_CONFIG names as one of
    several workers only takes part in the training of the run that is the chief's.
    """
    try:
        settings = asked = load_config(config, set_ or [])
        layout = OutputLayout(output.resolve(), settings.pipeline.name)
        cluster = Cluster.from_environment(os.environ, settings.training.workers)
        if cluster and not cluster.is_chief:
            raise typer.Exit(train_as_worker(cluster, layout))
        if CHAMPION in (settings.model.init_from, settings.tokenizer.pinned):
            champion = registered_champion(settings, layout)
            settings = with_champion(settings, champion, config, set_ or [])
    except (ConfigError, ClusterError) as error:
        fail(str(error), EXIT_BAD_INPUT)
    except RegistryError as error:
        fail(str(error))
    source = corpus or settings.corpus.path
    if not source:
        fail(
            f"no corpus given. Expected --corpus PATH, or corpus.path in {config}.",
            EXIT_BAD_INPUT,
        )
    quote = quoted(prices, settings.serving.model_name, plan)
    if _is_plain_path(source) and not Path(source).exists():
        fail(  # before TFX, which takes a while to load
            f"The corpus {source} does not exist. Expected: a file, a folder or a glob of "
            f"files below {Path.cwd()}, or an absolute path.",
            EXIT_BAD_INPUT,
        )
    request = RunRequest(
        settings,
        lambda champion: with_champion(asked, champion, config, set_ or [], from_scratch=True),
        source,
        span,
        layout,
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Otherwise training keeps all of a GPU's memory from the server that validates its model.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with folders_of_one_run(layout), logs_to_file(layout.log_file) as terminal:
        try:
            with interrupts_answered(terminal):
                code = _run(request, terminal, quote)
        except KeyboardInterrupt:
            # Threads of Beam and TensorFlow would keep the process for a while.
            os._exit(EXIT_INTERRUPTED)
    raise typer.Exit(code)


def _is_plain_path(source: str) -> bool:
    """Whether it is the name of a file or folder of this machine, and nothing more."""
    return not set("*?[{").intersection(source) and "://" not in source


def _run(request: RunRequest, terminal: Console, quote: PriceQuote | None) -> int:
    settings, layout = request.settings, request.layout
    terminal.print(f"pipeline [bold]{settings.pipeline.name}[/] (loading TFX takes a while)")
    from components.corpus_example_gen.corpus_path import resolve_corpus
    from components.corpus_example_gen.options import CorpusInputError
    from components.corpus_example_gen.split_names import split_lines
    from pipelines.checkpoints.description import CheckpointError
    from pipelines.checkpoints.settings import checkpoint_notes
    from pipelines.local_runner import LocalRunner, NodeFailedError
    from pipelines.pipeline import create_pipeline
    from pipelines.report.gathering import gather
    from pipelines.runner_parts import corpus_options
    from tokenizer.base import TokenizerError

    lines = _NodeLines(terminal, layout.last_run_file)
    runner = LocalRunner(lines)
    recorded = layout.metadata_file, runner.run_id
    notes: list[str] = []
    try:
        todo = plan_of(request, terminal)
        if todo.exit_code is not None:
            return todo.exit_code
        settings = todo.settings
        corpus = resolve_corpus(request.corpus, corpus_options(settings.corpus))
        for line in split_lines(corpus.files, corpus.left_out, settings.corpus.test_path):
            terminal.print(f"corpus: {escape(line)}")
        notes = checkpoint_notes(settings.model)
        for note in notes:
            terminal.print(f"checkpoint: {escape(note)}")
        lines.settings = shown_settings(settings, request.corpus, todo.spans)
        runner.run(create_pipeline(settings, request.corpus, layout, todo.spans))
    except RegistryError as error:
        terminal.print(f"[bold red]error:[/] {escape(str(error))}")
        return EXIT_FAILED
    except (CorpusInputError, CheckpointError, TokenizerError) as error:
        terminal.print(f"[bold red]error:[/] {escape(str(error))}")
        return EXIT_BAD_INPUT
    except NodeFailedError as error:
        terminal.print(f"[bold red]failed:[/] {escape(str(error))}")
        terminal.print(f"What was complete is kept. The log: {layout.log_file}")
        if isinstance(error.root, (CorpusInputError, CheckpointError)):
            return EXIT_BAD_INPUT
        failures = {error.node_id: error.what}
        report = gather(*recorded, settings.as_dict(), failures, notes, quote)
        _write_report(report, layout, terminal, settings.serving.model_name)
        return EXIT_FAILED
    seconds = sum(result.seconds for result in runner.results)
    cached = sum(result.cached for result in runner.results)
    terminal.print(
        f"{len(runner.results)} nodes in {seconds:.0f} s, {cached} of them from the cache"
    )
    report = gather(*recorded, settings.as_dict(), None, notes, quote)
    return (
        0
        if _write_report(report, layout, terminal, settings.serving.model_name)
        else EXIT_NOT_BLESSED
    )


def _write_report(
    report: RunReport, layout: OutputLayout, terminal: Console, model_name: str
) -> bool:
    """Report on a run, finished or failed. Returns whether it pushed."""
    from pipelines.report.writing import write_report

    file = write_report(report, layout.report_file)
    pushed = report.outcome.state == "pushed"
    if pushed:
        terminal.print(f"[bold green]pushed[/] to {report.outcome.destination}")
        terminal.print(f"serve it: tallygraph serve {_serve_options(layout, model_name)}")
    else:
        terminal.print("[bold red]not pushed[/], because:")
        for reason in report.outcome.reasons:
            terminal.print(f"  - {escape(reason)}")
    terminal.print(f"report: {file}")
    return pushed


def _serve_options(layout: OutputLayout, model_name: str) -> str:
    """The options of `tallygraph serve` for what a run has pushed, as a shell takes them."""
    options = ["--output", str(layout.output)]
    if layout.served_model_dir(model_name) != find_served(None, layout.output).folder:
        options += ["--model-name", model_name]
    return shlex.join(options)


class _NodeLines:
    """One line on what has changed since the last run; then two lines a node: one when it
    starts, one when it is done. The file keeps what the next run compares itself with."""

    def __init__(self, terminal: Console, file: Path):
        self._terminal = terminal
        self._file = file
        self._run = StartedRun({}, {})
        self.settings: Mapping[str, str] = {}

    def run_started(self, nodes: Sequence[NodeDefinition]) -> None:
        before = StartedRun.load(self._file)
        self._run = StartedRun(self.settings, {node.node_id: node.digest for node in nodes})
        if before:
            upstream = {node.node_id: node.upstream for node in nodes}
            line = changes_since(before, self._run, upstream)
            self._terminal.print(escape(line))
        self._run.save(self._file)

    def node_started(self, index: int, count: int, node_id: str) -> None:
        self._terminal.print(f"\\[{index:2}/{count}] {node_id}")

    def node_finished(self, index: int, count: int, result: NodeResult) -> None:
        self._run = self._run.with_complete(result.node_id)
        self._run.save(self._file)
        how = "cached" if result.cached else "done"
        self._terminal.print(f"        [green]{how}[/] {result.seconds:.1f} s")
