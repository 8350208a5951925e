"""Decides for `tallygraph run --span` what to run, and prints the decision before training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from pipelines.champion import registered_champion
from pipelines.cli.console import EXIT_NOT_BLESSED
from pipelines.config import PipelineConfig
from pipelines.layout import OutputLayout

if TYPE_CHECKING:
    from components.model_registry.port import RegisteredVersion
    from pipelines.continuous import Decision


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
      settings: as given, or those for training from scratch.
      spans: to read; none for a corpus without spans.
      exit_code: if there is nothing to run; else None.
    """

    settings: PipelineConfig
    spans: tuple[int, ...] = ()
    exit_code: int | None = None


@dataclass(frozen=True)
class RunRequest:
    """What the user requested.

    Attributes:
      from_scratch: makes settings that keep only the tokenizer of the champion.
      span: as given; empty for a corpus without spans.
    """

    settings: PipelineConfig
    from_scratch: Callable[[RegisteredVersion], PipelineConfig]
    corpus: str
    span: str
    layout: OutputLayout


def plan(request: RunRequest, terminal: Console) -> Plan:
    """Decide what to do, and print it. If the run is stopped, a report is written.

    Raises:
      CorpusInputError: a requested span does not exist.
      RegistryError: the registry cannot be read.
      ReportError: the report cannot be written.
    """
    from pipelines.continuous import Question, Todo, decide
    from pipelines.runner_parts import corpus_options

    settings, layout = request.settings, request.layout
    if not request.span:
        return Plan(settings)
    options = corpus_options(settings.corpus)
    question = Question(request.corpus, options, request.span, settings.drift)
    champion = registered_champion(settings, layout)
    decision = decide(question, champion)
    if decision.todo is Todo.NOTHING:
        reason = decision.reason[0].lower() + decision.reason[1:]
        terminal.print(
            f"[bold green]nothing to do[/]: {escape(reason)} --span {max(decision.spans)} "
            "trains on it anyway."
        )
        return Plan(settings, decision.spans, exit_code=0)
    _say_drift(decision, layout, terminal)
    if decision.todo is Todo.STOP:
        from pipelines.report.stopped import write_stopped_report

        file = write_stopped_report(decision, settings, layout.report_file)
        terminal.print('[bold red]stopped[/], because drift.action = "stop"')
        terminal.print(f"report: {file}")
        return Plan(settings, decision.spans, EXIT_NOT_BLESSED)
    if decision.todo is Todo.RETRAIN and champion:
        terminal.print("training from scratch, with the champion's tokenizer")
        return Plan(request.from_scratch(champion), decision.spans)
    return Plan(settings, decision.spans)


def _say_drift(decision: Decision, layout: OutputLayout, terminal: Console) -> None:
    for finding in decision.findings:
        terminal.print(f"[bold yellow]drift[/]: {escape(finding)}")
    if decision.drift:
        decision.drift.save(layout.drift_file)
        terminal.print(f"{decision.drift.summary} See {layout.drift_file}")
