"""Parts of a charge are refunded: never more than is left of it, and together exactly all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from serving.billing.audit import audit
from serving.billing.invoice import make_invoice
from serving.ledger import ChargePart, Entry, Ledger, LedgerError, Reservation
from serving.ledger.chain import entry_hash
from serving.ledger.database import writing
from serving.ledger.parts import METERS, Meter, parts_from_text, parts_to_text
from serving.ledger.refunds import refund_of_rest, refund_of_tokens, what_is_left
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.month_prices import BOOK, PRICING
from tests.serving.ledger.test_verification import ENTRIES, by_hand

Make = Callable[..., Reservation]


@pytest.fixture
def charged(ledger: Ledger, reservation: Make) -> Entry:
    """600 input tokens, 500 of them free, and 30 of output: 33 and 53 millionths."""
    request = reservation()
    ledger.reserve(request)
    return ledger.settle(request.request_id, usage(input_tokens=600), PRICING, b"")


def test_tokens_are_refunded_for_what_they_cost(
    ledger: Ledger, engine: sa.Engine, charged: Entry
) -> None:
    assert charged.amount_micro == 33 + 53
    first = ledger.refund("acme", 1, "bad end", "pat", tokens={"output": 10})
    assert (first.number, first.kind, first.amount_micro) == (2, "refund", -18)
    assert (first.input_tokens, first.output_tokens) == (0, -10)
    second = ledger.refund("acme", 1, "bad end", "pat", tokens={"input": 150, "output": 20})
    # The tokens that had a price first, then free ones.
    assert second.amount_micro == -(33 + 35)
    assert parts_from_text(second.parts)[0] == ChargePart("input", 0, -50, 0, 0)
    with pytest.raises(LedgerError, match=r"0 output tokens are left.*: 1"):
        ledger.refund("acme", 1, "more", "pat", tokens={"output": 1})
    assert verify(engine) == (3, [])
    assert audit(engine, BOOK) == (3, [])
    # The month goes on from what is left.
    assert ledger.usage("acme", "2026-11").input_tokens == 450
    assert ledger.usage("acme", "2026-11").amount_micro == 0
    made = make_invoice(engine, "acme", "2026-11")
    assert (made.requests, made.input_tokens, made.total_micro) == (1, 450, 0)


def test_amounts_are_refunded_until_nothing_is_left(
    ledger: Ledger, engine: sa.Engine, charged: Entry
) -> None:
    ledger.refund("acme", 1, "slow", "pat", amount_micro=80)
    for wrong in (7, 0, -1):
        with pytest.raises(LedgerError, match=f"6 millionths are left.*Received: {wrong}"):
            ledger.refund("acme", 1, "slow", "pat", amount_micro=wrong)
    with pytest.raises(LedgerError, match="because an amount was refunded"):
        ledger.refund("acme", 1, "slow", "pat", tokens={"output": 10})
    rest = ledger.refund("acme", 1, "slow", "pat")
    assert (rest.amount_micro, rest.input_tokens, rest.output_tokens) == (-6, -600, -30)
    with pytest.raises(LedgerError, match="Nothing is left"):
        ledger.refund("acme", 1, "slow", "pat")
    assert verify(engine) == (3, [])
    assert audit(engine, BOOK) == (3, [])
    assert make_invoice(engine, "acme", "2026-11").total_micro == 0


def test_a_charge_is_either_reversed_or_refunded(
    ledger: Ledger, engine: sa.Engine, charged: Entry
) -> None:
    ledger.refund("acme", 1, "slow", "pat", amount_micro=1)
    with pytest.raises(LedgerError, match=r"already refunded, by entry 2. Refund the rest"):
        ledger.reverse("acme", 1, "all of it", "pat")
    ledger.refund("acme", 1, "all of it", "pat")
    assert ledger.usage("acme", "2026-11").amount_micro == 0


def test_nothing_is_refunded_of_what_was_reversed(ledger: Ledger, charged: Entry) -> None:
    ledger.reverse("acme", 1, "all of it", "pat")
    with pytest.raises(LedgerError, match="0 millionths are left"):
        ledger.refund("acme", 1, "again", "pat", amount_micro=1)
    with pytest.raises(LedgerError, match="0 input tokens are left"):
        ledger.refund("acme", 1, "again", "pat", tokens={"input": 1})


def test_what_cannot_be_refunded(ledger: Ledger, reservation: Make, charged: Entry) -> None:
    with pytest.raises(LedgerError, match="of an amount or of tokens"):
        ledger.refund("acme", 1, "both", "pat", amount_micro=1, tokens={"input": 1})
    with pytest.raises(LedgerError, match="at least one token"):
        ledger.refund("acme", 1, "none", "pat", tokens={"input": 0})
    with pytest.raises(LedgerError, match="refund needs a reason"):
        ledger.refund("acme", 1, "", "pat", amount_micro=1)
    with pytest.raises(LedgerError, match="no charge with the number 9"):
        ledger.refund("acme", 9, "unknown", "pat", amount_micro=1)
    # Of a charge without parts nobody knows what a token cost.
    request = reservation()
    ledger.reserve(request)
    ledger.settle(request.request_id, usage(), charge(700), b"")
    with pytest.raises(LedgerError, match="0 output tokens are left that have a price"):
        ledger.refund("acme", 2, "bad end", "pat", tokens={"output": 1})
    assert ledger.refund("acme", 2, "all of it", "pat").amount_micro == -700


def test_a_forged_refund_is_found(ledger: Ledger, engine: sa.Engine, charged: Entry) -> None:
    """Its hash and all sums made to fit: it takes more than its tokens cost."""
    refund = ledger.refund("acme", 1, "bad end", "pat", tokens={"output": 10})
    part = replace(parts_from_text(refund.parts)[0], amount_micro=-50)
    forged = replace(refund, amount_micro=-50, parts=parts_to_text([part]))
    values = {"amount_micro": -50, "parts": forged.parts, "hash": entry_hash(forged)}
    by_hand(engine, ENTRIES.update().where(ENTRIES.c.number == 2).values(values))
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE chains SET hash = :hash"), {"hash": values["hash"]})
        connection.execute(sa.text("UPDATE accounts SET spent_micro = spent_micro - 32"))
        connection.execute(sa.text("UPDATE daily_usage SET amount_micro = amount_micro - 32"))
    assert verify(engine) == (2, [])
    ((finding,),) = (audit(engine, BOOK)[1],)
    assert "takes -50 millionths back" in finding.what and "Expected: -18" in finding.what


TOKENS = st.integers(0, 40)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(METERS), st.integers(1, 3), st.integers(1, 30), TOKENS),
        min_size=1,
        max_size=6,
        unique_by=lambda part: part[:2],
    ),
    steps=st.lists(st.tuples(st.sampled_from(METERS), st.integers(1, 20)), max_size=8),
)
def test_all_refunds_together_are_the_charge(
    parts: list[tuple[Meter, int, int, int]], steps: list[tuple[Meter, int]]
) -> None:
    made = [ChargePart(meter, tier, n, 7, amount) for meter, tier, n, amount in parts]
    whole = _entry(made, "charge", 1)
    taken: list[Entry] = []
    for meter, count in steps:
        left = what_is_left(whole, taken)
        try:
            refunded = refund_of_tokens(left, {meter: count})
        except LedgerError:
            continue
        assert 0 <= refunded.amount_micro <= left.amount_micro
        taken.append(_entry([each.negative() for each in refunded.parts], "refund", -1))
    left = what_is_left(whole, taken)
    if not left.input_tokens and not left.output_tokens:
        assert left.amount_micro == 0
        return
    rest = refund_of_rest(left)
    assert sum(part.amount_micro for part in rest.parts) == rest.amount_micro
    taken.append(_entry([each.negative() for each in rest.parts], "refund", -1))
    assert sum(each.amount_micro for each in taken) == -whole.amount_micro
    end = what_is_left(whole, taken)
    assert (end.amount_micro, end.input_tokens, end.output_tokens, end.parts) == (0, 0, 0, ())


def _entry(parts: list[ChargePart], kind: str, number: int) -> Entry:
    def of(*meters: str) -> int:
        return sum(part.tokens for part in parts if part.meter in meters)

    values = dict.fromkeys(Entry.__dataclass_fields__, "") | {
        "number": number,
        "kind": kind,
        "amount_micro": sum(part.amount_micro for part in parts),
        "input_tokens": of("input", "cached"),
        "cached_tokens": of("cached"),
        "output_tokens": of("output"),
        "parts": parts_to_text(parts),
    }
    return Entry(**values)  # type: ignore[arg-type]
