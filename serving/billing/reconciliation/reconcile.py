"""Compares the ledger with the servers' logs and counters."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from serving.billing.reconciliation.billed import billed_work, unknown_work, unsettled
from serving.billing.reconciliation.counters import RequestCounts, answered
from serving.billing.reconciliation.records import (
    COMPARED,
    DRIFT,
    NOT_ANSWERED,
    NOT_BILLED_RECORDS,
    SAMPLED,
    Compared,
    Finding,
    LogsError,
    ModelCounts,
    Window,
    Work,
)
from serving.ledger.database import reading


@dataclass
class Reconciled:
    """The result of a comparison.

    Attributes:
      billed: number of charges of the window that a server computed something for, by model.
      counts: how many records of the log were compared or not; empty without a log.
      findings: in order of time.
      notes: what was not compared.
      counters: differences from the counters, one sentence each.
    """

    billed: Counter[str]
    counts: ModelCounts
    findings: list[Finding]
    notes: list[str]
    counters: list[str] = field(default_factory=list)

    @property
    def drift(self) -> int:
        """The number of findings that count as drift."""
        return sum(each.kind in DRIFT for each in self.findings) + len(self.counters)


def reconcile(
    engine: sa.Engine,
    window: Window,
    logs: Sequence[str] = (),
    requests: RequestCounts | None = None,
    not_billed: Mapping[str, int] | None = None,
    temporary: str | None = None,
    beam_args: Sequence[str] = (),
) -> Reconciled:
    """Compare the ledger with what the servers report.

    Args:
      logs: patterns of the files of their request logs; none: only counters are compared.
      requests: what they counted in the window, see `counters.counted`; None: only logs.
      not_billed: number of counted requests of a model that are intentionally not billed and in
          no log.
      temporary: a folder that Beam's workers can read and write; None for a folder on this
          machine.
      beam_args: Beam's options.

    Raises:
      LogsError: the logs cannot be compared.
    """
    billed: Counter[str] = Counter()

    notes: list[str] = []

    def works() -> Iterator[Work]:
        """All that is billed, of one moment."""
        with reading(engine) as connection:
            notes.extend(_left_out(connection, window))
            for work in billed_work(connection, window):
                billed[work.model] += window.has(work.at)
                yield work

    if logs:
        compared = _logs_compared(logs, works(), window, temporary, beam_args)
    else:
        deque(works(), maxlen=0)  # counted
        compared = Compared([], Counter())
    findings, not_shown = _of_a_sample(compared)
    result = Reconciled(billed, compared.counts, findings, notes + not_shown)
    if requests is not None:
        result.counters = _counters_compared(result, requests, not_billed or {}, bool(logs))
    return result


def _logs_compared(
    logs: Sequence[str],
    works: Iterable[Work],
    window: Window,
    temporary: str | None,
    beam_args: Sequence[str],
) -> Compared:
    try:
        from serving.billing.reconciliation.on_beam import compare
    except ImportError as error:
        raise LogsError(
            f"Comparing logs needs Apache Beam, but {error.name} is missing. Install "
            "tallygraph[pipeline], or compare only the servers' counters."
        ) from None
    return compare(logs, works, window, temporary, beam_args)


def _left_out(connection: sa.Connection, window: Window) -> list[str]:
    notes = []
    if old := unknown_work(connection, window):
        notes.append(
            f"{old} charges are left out because they are too old to have what the "
            "comparison needs"
        )
    for state, count in sorted(unsettled(connection, window).items()):
        notes.append(
            f"{count} requests of the window are {state}: a client that got no response is "
            "not charged, although a server may have computed it"
        )
    return notes


def _of_a_sample(compared: Compared) -> tuple[list[Finding], list[str]]:
    """Without what only a whole log can show."""
    findings = sorted(compared.findings)
    if not any(name == SAMPLED for _, name in compared.counts):
        return findings, []
    kept = [each for each in findings if each.kind != NOT_ANSWERED]
    return kept, [
        f"the log is a sample, so {len(findings) - len(kept)} charges that are not in it "
        "are not counted as drift; log all requests (sampling_rate: 1) to compare them"
    ]


def _counters_compared(
    result: Reconciled,
    requests: RequestCounts,
    not_billed: Mapping[str, int],
    has_logs: bool,
) -> list[str]:
    """What the servers' counters do not agree with, a sentence each."""
    wrong = []
    models = {model for model, _ in requests} | set(result.billed)
    for model in sorted(models):
        predicted, billed = answered(requests, model), result.billed[model]
        other = result.counts[model, NOT_BILLED_RECORDS] + not_billed.get(model, 0)
        if predicted != billed + other:
            what = "answered but not billed" if predicted > billed + other else "never answered"
            hint = (
                ""
                if has_logs
                else "; the request logs show which ones, and the gateways' pages how many "
                "only counted tokens"
            )
            wrong.append(
                f"{model}: the servers answered {predicted} requests. Expected: {billed} "
                f"that are billed and {other} that are intentionally not billed. "
                f"{abs(predicted - billed - other)} were {what}{hint}"
            )
        logged = result.counts[model, COMPARED] + result.counts[model, NOT_BILLED_RECORDS]
        if has_logs and predicted != logged and not result.counts[model, SAMPLED]:
            wrong.append(
                f"{model}: the servers answered {predicted} requests, but their log has "
                f"{logged} in the window: records are missing, or come from elsewhere"
            )
    return wrong
