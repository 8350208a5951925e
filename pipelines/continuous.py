"""Decides what a run on new data does, before anything is trained, on any runner."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.spans import LATEST, choose_spans, spans_of
from pipelines.champion import newest_span
from pipelines.drift.config import DriftConfig
from tokenizer.base import TokenizerError

if TYPE_CHECKING:
    from components.model_registry.port import RegisteredVersion
    from pipelines.drift.comparison import Drift


class Todo(StrEnum):
    """What a run does.

    Attributes:
      TRAIN: train, from the champion if the settings say so.
      RETRAIN: train from random weights, with the champion's tokenizer.
      NOTHING: no span is newer than the champion's.
      STOP: the new texts differ too much from the champion's.
    """

    TRAIN = "train"
    RETRAIN = "retrain"
    NOTHING = "nothing"
    STOP = "stop"


@dataclass(frozen=True)
class Question:
    """What `decide` decides about.

    Attributes:
      corpus: path that contains spans.
      options: how the corpus's files are read, to compare their texts.
      span: as `components.corpus_example_gen.spans.choose_spans` takes it.
      drift: how much new spans may differ from the champion's, and what happens if they do.
    """

    corpus: str
    options: CorpusOptions
    span: str
    drift: DriftConfig


@dataclass(frozen=True)
class Decision:
    """What a run does, and why.

    Attributes:
      spans: to read, in ascending order.
      reason: the reason, in one or two sentences.
      drift: the comparison with the champion's spans; None if there was no comparison.
      not_compared: why the champion's spans could not be compared; empty if they were, or if
        there was nothing to compare.
    """

    todo: Todo
    spans: tuple[int, ...]
    reason: str
    drift: Drift | None = None
    not_compared: str = ""

    @property
    def findings(self) -> tuple[str, ...]:
        """One sentence for each thing that has drifted. What cannot be compared counts as
        drift."""
        if self.not_compared:
            return (f"the champion's spans cannot be compared. {self.not_compared}",)
        return tuple(map(str, self.drift.findings)) if self.drift else ()


def decide(question: Question, champion: RegisteredVersion | None) -> Decision:
    """Choose the spans, and compare them with those that the champion was trained on.

    If the newest spans are requested and none is newer than the champion's, there is nothing to
    do. A span that is named explicitly is trained on in any case.

    Args:
      question: the corpus, the spans and the limits of drift.
      champion: of the model registry; None if there is none.

    Raises:
      CorpusInputError: a requested span does not exist.
    """
    spans = choose_spans(question.span, there := spans_of(question.corpus, question.options))
    names = ", ".join(there[span] for span in spans)
    newest = newest_span(champion) if champion else None
    if champion is None or newest is None:
        known = "there is no champion yet" if champion is None else "the champion has no spans"
        return Decision(Todo.TRAIN, spans, f"Training on span {names}: {known}.")
    its_newest = there.get(newest, str(newest))
    if question.span.startswith(LATEST) and max(spans) <= newest:
        return Decision(
            Todo.NOTHING,
            spans,
            f"The newest span is {there[max(spans)]}, and the champion (version "
            f"{champion.number}) was trained on span {its_newest}.",
        )
    action = question.drift.action
    why = (
        f"Training on span {names}: the champion (version {champion.number}) was trained on "
        f"span {its_newest}."
    )
    if action == "off" or max(spans) <= newest:
        return Decision(Todo.TRAIN, spans, why)
    drift, not_compared = _compare(question, champion, spans)
    compared = Decision(Todo.TRAIN, spans, why, drift, not_compared)
    if not compared.findings or action == "report":
        return compared
    found = f'{" ".join(compared.findings)} drift.action = "{action}".'
    if action == "stop":
        reason = f"Stopped because of drift: nothing was trained on span {names}. {found}"
        return Decision(Todo.STOP, spans, reason, drift, not_compared)
    reason = f"Training on span {names} from scratch, with the champion's tokenizer. {found}"
    return Decision(Todo.RETRAIN, spans, reason, drift, not_compared)


def _compare(
    question: Question, champion: RegisteredVersion, spans: tuple[int, ...]
) -> tuple[Drift | None, str]:
    from pipelines.drift.comparison import compare_spans  # TFDV: slow, and not always needed

    try:
        drift = compare_spans(
            question.corpus, question.options, champion, spans, question.drift
        )
    except (CorpusInputError, TokenizerError) as error:
        return None, str(error)
    return drift, ""
