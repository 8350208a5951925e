"""Pairs what was computed with what was billed, by model, version, texts and limits.

A text may be sent often: records of one key are paired in order of time, first those whose
counts agree, then the rest, whose counts differ. Records without a partner are reported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from serving.billing.reconciliation.records import (
    DIFFERENT,
    NOT_ANSWERED,
    NOT_BILLED,
    REPEATED,
    Finding,
    Window,
    Work,
)


def join(answered: Iterable[Work], billed: Iterable[Work], window: Window) -> Iterator[Finding]:
    """Compare both sides of one key.

    Args:
      answered, billed: all records of the key within the window's reach, in any order.
    """
    left, right = sorted(answered, key=_order), sorted(billed, key=_order)
    times = [bill.at for bill in right]
    _, left, right = _paired(left, right, window.slack_s, _agree)
    pairs, left, right = _paired(left, right, window.slack_s, lambda work, bill: True)
    for work, bill in pairs:
        if window.has(bill.at):
            other = f"the server counted {_counts(work)}, {work.where}"
            yield _finding(DIFFERENT, bill, f"billed {_counts(bill)}; {other}")
    for work in left:
        if window.has(work.at):
            place = bisect_left(times, work.at - window.retry_s)
            again = place < len(times) and times[place] <= work.at + window.retry_s
            yield _finding(REPEATED if again else NOT_BILLED, work, _counts(work))
    for bill in right:
        if window.has(bill.at):
            yield _finding(NOT_ANSWERED, bill, _counts(bill))


def _paired(
    left: list[Work], right: list[Work], slack_s: float, fits: Callable[[Work, Work], bool]
) -> tuple[list[tuple[Work, Work]], list[Work], list[Work]]:
    """Each of the right with the first of the left that it can have; and what is over."""
    pairs, alone = [], []
    free, past = list(left), []
    for bill in right:
        while free and free[0].at < bill.at - slack_s:
            past.append(free.pop(0))  # too early for this one, and so for all that follow
        for place, work in enumerate(free):
            if work.at > bill.at + slack_s:
                alone.append(bill)
                break
            if fits(work, bill):
                pairs.append((free.pop(place), bill))
                break
        else:
            alone.append(bill)
    return pairs, past + free, alone


def _agree(work: Work, bill: Work) -> bool:
    """Whether the counts are the same.

    Where a cache answered for some of the texts, the entry says how many tokens of input it
    did not need, and not how many of output.
    """
    if work.input_tokens != bill.input_tokens - bill.cached_tokens:
        return False
    if bill.cached_tokens:
        of_work, of_bill = (set(each.finish_reasons.split(",")) for each in (work, bill))
        return work.output_tokens <= bill.output_tokens and of_work <= of_bill
    return (work.output_tokens, work.finish_reasons) == (
        bill.output_tokens,
        bill.finish_reasons,
    )


def _order(work: Work) -> tuple[float, str]:
    return work.at, work.where


def _counts(work: Work) -> str:
    return (
        f"{work.input_tokens - work.cached_tokens} input and {work.output_tokens} output "
        f"tokens ({work.finish_reasons})"
    )


def _finding(kind: str, work: Work, counts: str) -> Finding:
    moment = datetime.fromtimestamp(work.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    of = f"{work.model} version {work.model_version}, fingerprint {work.work_hash[:12]}"
    return Finding(work.at, kind, f"{moment} UTC, {of}, {work.where}: {counts}")
