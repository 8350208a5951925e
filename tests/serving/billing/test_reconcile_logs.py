"""What a log and the ledger say, compared by Beam: what is found, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serving.billing.reconciliation.records import (
    DIFFERENT,
    NOT_ANSWERED,
    NOT_BILLED,
    REPEATED,
    LogsError,
)
from serving.ledger import Reservation
from serving.ledger.work import work_hash
from tests.pipelines.beam_engine import chosen_engine
from tests.serving.billing.logged_case import (
    AT,
    Case,
    assert_engine_finds_what_the_default_finds,
    log_record,
)


def test_equal_sides(case: Case) -> None:
    """Texts that come again, several rows, calls that are not billed, and other spellings."""
    case.bill("a b")
    case.bill("a b", after_s=20)
    case.bill("é 😀")
    case.bill("c")
    case.log(
        log_record("a b"),
        log_record("c", signature="serving_default", limit=None),
        log_record("a b", at=AT + 19),
        log_record("d", signature="count_tokens"),
    )
    case.log(log_record("é 😀"), name="other-server")
    result = case.compare()
    assert (result.findings, result.drift) == ([], 0)
    assert result.billed == {"summarizer": 4}
    assert result.counts == {
        ("summarizer", "records"): 4,
        ("summarizer", "records of requests that are not billed"): 1,
    }


def test_what_is_on_one_side_only_is_named(case: Case) -> None:
    case.bill("asked")
    case.log(log_record("past the gateway"))
    answered, billed = case.compare().findings
    assert (answered.kind, billed.kind) == (NOT_BILLED, NOT_ANSWERED)
    work = work_hash(["past the gateway"], [0])[:12]
    assert answered.what == (
        f"2026-11-25 12:00:00 UTC, summarizer version 7, fingerprint {work}, log-1.tfrecord, "
        "record 1: 2 input and 1 output tokens (stop)"
    )
    assert "tenant acme, entry 1, request request-1: 2 input" in billed.what
    assert "past" not in answered.what.replace(work, "")


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"input_tokens": 3}, [DIFFERENT]),
        ({"output_tokens": 2}, [DIFFERENT]),
        ({"version": 8}, [NOT_BILLED, NOT_ANSWERED]),
        ({"limit": 3}, [NOT_BILLED, NOT_ANSWERED]),
        ({"at": AT - 61}, [NOT_BILLED, NOT_ANSWERED]),
        ({"at": AT - 59}, []),
    ],
)
def test_one_thing_is_another(case: Case, changes: dict[str, Any], kinds: list[str]) -> None:
    case.bill()
    case.log(log_record(**changes))
    assert case.kinds() == kinds


def test_counts_that_differ_say_both(case: Case) -> None:
    case.bill()
    case.log(log_record(output_tokens=9))
    (finding,) = case.compare().findings
    assert finding.what.endswith(
        "entry 1, request request-1: billed 2 input and 1 output tokens (stop); the server "
        "counted 2 input and 9 output tokens (stop), log-1.tfrecord, record 1"
    )


def test_the_right_one_of_many_is_named(case: Case) -> None:
    """The same text, over and over: only what has no partner is found."""
    for second in range(0, 50, 10):
        case.bill(after_s=second)
    records = [log_record(at=AT + second) for second in range(0, 50, 10)]
    records[2] = log_record(at=AT + 20, output_tokens=3)
    case.log(*records)
    (finding,) = case.compare().findings
    assert finding.kind == DIFFERENT
    assert "record 3" in finding.what


def test_a_retry_is_told_apart(case: Case) -> None:
    """The server computed it twice, within seconds, and it is billed once."""
    case.bill("retried")
    case.bill("later", after_s=0)
    case.log(
        log_record("retried"),
        log_record("retried", at=AT + 5),
        log_record("later"),
        log_record("later", at=AT + 31),
    )
    result = case.compare()
    assert [each.kind for each in result.findings] == [REPEATED, NOT_BILLED]
    assert result.drift == 1


def test_replays_and_what_a_cache_answered_need_no_record(case: Case) -> None:
    case.bill("a b")
    case.bill("cached", cached_tokens=2, work_hash="")
    # Two texts of 2 tokens, one of them cached; the server saw the other.
    both = {"input_tokens": 4, "cached_tokens": 2, "output_tokens": 3}
    case.bill("c d", finish_reasons="length,stop", **both)
    case.log(log_record("a b"), log_record("c d"))
    assert case.kinds() == []
    case.bill("e f", finish_reasons="length", **both)
    case.log(log_record("e f"), name="more")
    assert case.kinds() == [DIFFERENT]


def test_a_charge_without_work_is_found(case: Case) -> None:
    """Nobody can bill for nothing by leaving the hash out."""
    case.bill(work_hash="")
    case.log()
    assert case.kinds() == [NOT_ANSWERED]


def test_the_windows_edges(case: Case) -> None:
    """What is just outside is looked at, and never named."""
    case.bill("at the end", after_s=601)
    case.bill("after it", after_s=602)
    case.bill("long after", after_s=4000)
    case.log(
        log_record("at the end", at=AT + 599),
        log_record("before", at=AT - 601),
        log_record("at the start", at=AT - 600),
    )
    assert case.kinds() == [NOT_BILLED]
    assert case.compare().counts["summarizer", "records outside the window"] == 1


def test_a_sample_does_not_accuse_the_ledger(case: Case) -> None:
    case.bill("a b")
    case.bill("not logged")
    case.log(log_record("a b", rate=0.5), log_record("direct", rate=0.5))
    result = case.compare()
    assert [each.kind for each in result.findings] == [NOT_BILLED]
    assert any("1 charges that are not in it" in note for note in result.notes)


def test_requests_that_were_given_up_are_said(case: Case) -> None:
    case.ledger.reserve(Reservation("left", "acme", 100, "0" * 64))
    case.ledger.release("left")
    case.log()
    assert case.compare().notes == [
        "1 requests of the window are released: a client that got no response is not "
        "charged, although a server may have computed it"
    ]


@pytest.mark.long
def test_beams_options_are_passed_on(case: Case) -> None:
    """Two worker processes: what travels between them is what one process would see."""
    case.bill("a b")
    case.bill("c")
    case.log(log_record("a b"), log_record("direct"))
    case.log(log_record("c"), name="other-server")
    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    shared = case.folder / "shared"
    shared.mkdir()
    assert case.kinds(beam_args=options, temporary=str(shared)) == [NOT_BILLED]
    assert list(shared.iterdir()) == []
    with pytest.raises(LogsError, match="NoSuchRunner"):
        case.compare(beam_args=["--runner=NoSuchRunner"])


@pytest.mark.long
def test_an_engine_outside_finds_what_the_default_finds(case: Case) -> None:
    """`make test-engine` runs it on an engine of one's own."""
    with chosen_engine(case.folder) as options:
        assert_engine_finds_what_the_default_finds(case, options)


def test_findings_are_lines_of_json(case: Case) -> None:
    case.log(log_record())
    (finding,) = case.compare().findings
    assert json.loads(finding.to_json())["kind"] == NOT_BILLED
