"""What `tallygraph run --span` finds out before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from pipelines.champion import newest_span, registered_champion
from pipelines.cli.console import EXIT_NOT_BLESSED
from pipelines.config import PipelineConfig
from pipelines.layout import OutputLayout

if TYPE_CHECKING:
    from components.model_registry.port import RegisteredVersion


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
      settings: as given, or those of a training from scratch.
      spans: to read; none for a corpus without.
      exit_code: where there is nothing to run; else None.
    """

    settings: PipelineConfig
    spans: tuple[int, ...] = ()
    exit_code: int | None = None


@dataclass(frozen=True)
class RunRequest:
    """What a person has asked for.

    Attributes:
      from_scratch: makes settings that keep nothing of the champion but its tokenizer.
      span: as given; empty for a corpus without.
    """

    settings: PipelineConfig
    from_scratch: Callable[[RegisteredVersion], PipelineConfig]
    corpus: str
    span: str
    layout: OutputLayout


def plan(request: RunRequest, terminal: Console) -> Plan:
    """Choose the spans, and hold them against the champion's.

    Raises:
      CorpusInputError: a span that is asked for is not there.
      RegistryError: the registry cannot be read.
    """
    from components.corpus_example_gen.spans import LATEST, choose_spans, spans_of
    from pipelines.pipeline import corpus_options

    settings, corpus = request.settings, request.corpus
    if not request.span:
        return Plan(settings)
    spans = choose_spans(request.span, spans_of(corpus, corpus_options(settings.corpus)))
    champion = registered_champion(settings, request.layout)
    newest = newest_span(champion) if champion else None
    if champion is None or newest is None:
        return Plan(settings, spans)
    if request.span.startswith(LATEST) and max(spans) <= newest:
        terminal.print(
            f"[bold green]nothing to do[/]: the newest span is {max(spans)}, and the champion "
            f"(version {champion.number}) was trained on span {newest}. --span {max(spans)} "
            "trains on it all the same."
        )
        return Plan(settings, spans, exit_code=0)
    if settings.drift.action == "off" or max(spans) <= newest:
        return Plan(settings, spans)
    drifted = _drifted(request, champion, spans, terminal)
    if drifted and settings.drift.action == "stop":
        terminal.print('[bold red]stopped[/], because drift.action = "stop"')
        return Plan(settings, spans, EXIT_NOT_BLESSED)
    if drifted and settings.drift.action == "retrain":
        terminal.print("training from scratch, with the champion's tokenizer")
        return Plan(request.from_scratch(champion), spans)
    return Plan(settings, spans)


def _drifted(
    request: RunRequest,
    champion: RegisteredVersion,
    spans: tuple[int, ...],
    terminal: Console,
) -> bool:
    """Compare the texts and say what has come out. What cannot be compared has drifted."""
    from components.corpus_example_gen.options import CorpusInputError
    from pipelines.drift.comparison import compare_spans
    from pipelines.pipeline import corpus_options
    from tokenizer.base import TokenizerError

    settings = request.settings
    options = corpus_options(settings.corpus)
    try:
        drift = compare_spans(request.corpus, options, champion, spans, settings.drift)
    except (CorpusInputError, TokenizerError) as error:
        terminal.print(
            "[bold yellow]drift[/]: the champion's spans cannot be compared. "
            f"{escape(str(error))}"
        )
        return True
    drift.save(request.layout.drift_file)
    for finding in drift.findings:
        terminal.print(f"[bold yellow]drift[/]: {escape(str(finding))}")
    terminal.print(f"{drift.summary} See {request.layout.drift_file}")
    return bool(drift.findings)
