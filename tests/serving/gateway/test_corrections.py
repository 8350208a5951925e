"""What is added to a chain by hand leaves a row in the audit log, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving.gateway.administration import (
    Administrator,
    change_alerts,
    refund_charge,
    reverse_charge,
    top_up_credit,
)
from serving.gateway.administration.ledger import anchor_ledger
from serving.gateway.tenants import TenantError
from serving.ledger import Ledger, LedgerError, Reservation, schema
from serving.ledger.audit_log import read_changes
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock
from tests.support.tenants import add_tenant

Row = tuple[str, str, str, Any, Any]


@pytest.fixture
def by(engine: sa.Engine) -> Administrator:
    """An administrator, and a tenant with two charges of 700 millionths."""
    clock = Clock()
    add_tenant(engine, "acme")
    ledger = Ledger(engine, "gateway-0", clock)
    for request_id in ("r1", "r2"):
        ledger.reserve(Reservation(request_id, "acme", 1000, "0" * 64))
        ledger.settle(request_id, usage(), charge(700), b"")
    return Administrator(engine, "alice", clock=clock)


def log(by: Administrator) -> list[Row]:
    """Of the administrator, the oldest first."""
    changes = [each for each in read_changes(by.engine, 100)[::-1] if each.actor == "alice"]
    assert all((each.at, each.via) == (by.clock(), "command") for each in changes)
    return [
        (each.action, each.tenant, each.subject, each.before, each.after) for each in changes
    ]


def test_what_is_given_back(by: Administrator) -> None:
    reverse_charge(by, "acme", 1, "a wrong text")
    refund_charge(by, "acme", 2, "slow", amount_micro=300)
    refund_charge(by, "acme", 2, "slower")
    assert log(by) == [
        (
            *("ledger.reverse", "acme", "entry 1", {"left_micro": 700}),
            {"left_micro": 0, "entry": 3, "reason": "a wrong text"},
        ),
        (
            *("ledger.refund", "acme", "entry 2", {"left_micro": 700}),
            {"left_micro": 400, "entry": 4, "reason": "slow"},
        ),
        (
            *("ledger.refund", "acme", "entry 2", {"left_micro": 400}),
            {"left_micro": 0, "entry": 5, "reason": "slower"},
        ),
    ]
    assert verify(by.engine) == (5, [])


def test_credit(by: Administrator) -> None:
    top_up_credit(by, "acme", 1000, "EUR", "payment 17")
    reverse_charge(by, "acme", 1, "a wrong text")
    top_up_credit(by, "acme", -500, "EUR", "paid back", "payment-18")
    assert [row for row in log(by) if row[0] == "ledger.top_up"] == [
        (
            *("ledger.top_up", "acme", "credit", {}),
            {"credit_micro": 1000, "entry": 3, "reason": "payment 17"},
        ),
        (
            *("ledger.top_up", "acme", "credit", {"credit_micro": 1700}),
            {"credit_micro": 1200, "entry": 5, "reason": "paid back"},
        ),
    ]


def test_what_is_refused_leaves_no_row(by: Administrator, tmp_path: Path) -> None:
    refused: list[Callable[[], object]] = [
        lambda: reverse_charge(by, "acme", 9, "there is none"),
        lambda: reverse_charge(by, "acme", 1, ""),
        lambda: refund_charge(by, "acme", 1, "too much", amount_micro=701),
        lambda: top_up_credit(by, "acme", -1, "EUR", "there is none"),
        lambda: top_up_credit(by, "acme", 1, "ZZZ", "no currency"),
        lambda: anchor_ledger(by, None, False, tmp_path),
    ]
    for refuse in refused:
        with pytest.raises((LedgerError, TenantError)):
            refuse()
    top_up_credit(by, "acme", 1, "EUR", "payment 17", "payment-17")
    with pytest.raises(LedgerError, match="already in the ledger"):
        top_up_credit(by, "acme", 1, "EUR", "payment 17", "payment-17")
    assert [row[0] for row in log(by)] == ["ledger.top_up"]


def test_alerts(by: Administrator) -> None:
    for shares in ([50, 80], [50, 80], []):
        change_alerts(by, "acme", shares)
    assert log(by) == [
        ("tenant.alerts", "acme", "acme", {"percents": []}, {"percents": [50, 80]}),
        ("tenant.alerts", "acme", "acme", {"percents": [50, 80]}, {"percents": []}),
    ]


def test_anchors(by: Administrator, tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    lines = anchor_ledger(by, None, True)
    assert anchor_ledger(by, None, False, path) == lines
    assert path.read_text() == "".join(f"{line}\n" for line in lines)
    with by.engine.connect() as connection:
        events = connection.scalars(sa.select(schema.outbox.c.event)).all()
    assert [each for each in events if each in lines] == lines
    common = {"lines": 1, "authenticated": False}
    assert log(by) == [
        ("ledger.anchor", "", "ledger", {}, common | {"delivered": True}),
        ("ledger.anchor", "", "ledger", {}, common | {"delivered": False, "file": str(path)}),
    ]
