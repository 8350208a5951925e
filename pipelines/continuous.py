"""What a run of new data has to do, decided before anything is trained, wherever it runs."""

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
    """What to do.

    Attributes:
      TRAIN: train, from the champion where the settings say so.
      RETRAIN: train from random weights, with the champion's tokenizer.
      NOTHING: no span is newer than the champion's.
      STOP: the new texts are too far from the champion's.
    """

    TRAIN = "train"
    RETRAIN = "retrain"
    NOTHING = "nothing"
    STOP = "stop"


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
      corpus: path with spans in it.
      options: how its files are read, for the comparison of texts.
      span: as `components.corpus_example_gen.spans.choose_spans` takes it.
      drift: how far new spans may be from the champion's, and what then.
    """

    corpus: str
    options: CorpusOptions
    span: str
    drift: DriftConfig


@dataclass(frozen=True)
class Decision:
    """What is answered.

    Attributes:
      spans: to read, rising.
      reason: one or two sentences: why.
      drift: the comparison with the champion's spans; None where there was none.
      not_compared: why the champion's spans could not be compared; empty where they were, or
        where there was nothing to compare.
    """

    todo: Todo
    spans: tuple[int, ...]
    reason: str
    drift: Drift | None = None
    not_compared: str = ""

    @property
    def findings(self) -> tuple[str, ...]:
        """What has drifted, a sentence each. What cannot be compared counts as drifted."""
        if self.not_compared:
            return (f"the champion's spans cannot be compared. {self.not_compared}",)
        return tuple(map(str, self.drift.findings)) if self.drift else ()


def decide(question: Question, champion: RegisteredVersion | None) -> Decision:
    """Choose the spans, and hold them against those that the champion was trained on.

    Only where the newest spans are asked for is there nothing to do without a newer one: a
    span that is named is trained on all the same.

    Args:
      question: what is asked.
      champion: of the model registry; None where there is none.

    Raises:
      CorpusInputError: a span that is asked for is not there.
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
        reason = f"Stopped by drift: nothing was trained on span {names}. {found}"
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
