"""Pairs what was computed with what was billed: the same model, version, texts and limits.

A text may be asked often: records of one key are paired in the order of time, first those whose
counts agree, then the rest, whose counts differ. What then has no partner is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
      answered, billed: all of the key that the window reaches, in any order.
    """
    left = sorted(answered, key=_order)
    right = sorted(billed, key=_order)
    all_billed = list(right)
    for equal in (True, False):
        pairs, left, right = _paired(left, right, window.slack_s, equal)
        if not equal:
            for of_server, of_ledger in pairs:
                if window.has(of_ledger.at):
                    yield _finding(
                        DIFFERENT,
                        of_ledger,
                        f"{_counts(of_ledger)}; the server "
                        f"counted {_counts(of_server)} in {of_server.where}",
                    )
    for work in left:
        if window.has(work.at):
            again = any(abs(work.at - each.at) <= window.retry_s for each in all_billed)
            yield _finding(REPEATED if again else NOT_BILLED, work, _counts(work))
    for work in right:
        if window.has(work.at):
            yield _finding(NOT_ANSWERED, work, _counts(work))


def _paired(
    left: list[Work], right: list[Work], slack_s: float, equal: bool
) -> tuple[list[tuple[Work, Work]], list[Work], list[Work]]:
    """Each of the right with the first of the left that it can have; and what is over."""
    pairs, alone = [], []
    free = list(left)
    for bill in right:
        partner = next(
            (
                work
                for work in free
                if abs(work.at - bill.at) <= slack_s and (not equal or _agree(work, bill))
            ),
            None,
        )
        if partner is None:
            alone.append(bill)
        else:
            free.remove(partner)
            pairs.append((partner, bill))
    return pairs, free, alone


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
        f"{work.input_tokens - work.cached_tokens} input and {work.output_tokens} output tokens "
        f"({work.finish_reasons})"
    )


def _finding(kind: str, work: Work, counts: str) -> Finding:
    moment = datetime.fromtimestamp(work.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    of = f"{work.model} version {work.model_version}, work {work.work_hash[:12]}"
    return Finding(work.at, kind, f"{moment} UTC, {of}, {work.where}: {counts}")
