"""Three months of a ledger, archived and held to what they were."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from serving.billing.invoice import make_invoice
from serving.ledger import Ledger, Reservation
from serving.ledger.archive import archive_month, read_archives
from serving.ledger.archive_file import archive_path
from serving.ledger.authentication import LedgerKey
from serving.ledger.retention import remove_expired
from serving.ledger.verification import check
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.month_prices import PRICING
from tests.serving.ledger.standing_clock import Clock

MARCH = datetime.datetime(2027, 3, 1)
KEY = LedgerKey(b"k" * 32)
Make = Callable[..., Reservation]


def make_months(
    engine: sa.Engine, ledger: Ledger, reservation: Make, clock: Clock
) -> dict[tuple[str, str], object]:
    """Write three months of two tenants, with all that there may be in them; then it is March.

    Returns:
      Every invoice, made before anything is archived.
    """
    for month in (11, 12, 1):
        clock.now = datetime.datetime(2027 if month == 1 else 2026, month, 10)
        for number in range(4):
            request = reservation(idempotency_key=f"key-{month}-{number}")
            ledger.reserve(request)
            ledger.settle(request.request_id, usage(input_tokens=600), PRICING, b"answer")
        unkeyed, released = reservation(), reservation()
        for request in (unkeyed, released):
            ledger.reserve(request)
        ledger.settle(unkeyed.request_id, usage(), PRICING, b"")
        ledger.release(released.request_id)
        if month != 12:
            request = reservation(tenant="other")
            ledger.reserve(request)
            ledger.settle(request.request_id, usage(), charge(), b"")
        ledger.top_up("acme", 10**6, "EUR", "a payment", "pat")
    # In January: of what was charged in November, and of its own month.
    ledger.reverse("acme", 2, "a wrong text", "pat")
    ledger.refund("acme", 13, "slow", "pat", amount_micro=5)
    clock.now = MARCH
    remove_expired(engine, clock)
    return invoices(engine)


def invoices(engine: sa.Engine, archives: Path | None = None) -> dict[tuple[str, str], object]:
    return {
        (tenant, month): make_invoice(engine, tenant, month, archives)
        for tenant in ("acme", "other")
        for month in ("2026-10", "2026-11", "2026-12", "2027-01", "2027-02")
    }


def archive(engine: sa.Engine, month: str, folder: Path, clock: Clock) -> tuple[int, int]:
    done = archive_month(engine, month, folder, KEY, clock)
    assert done.path == archive_path(folder, month)
    return done.entries, done.removed


def whole(engine: sa.Engine, folder: Path) -> tuple[int, list[str]]:
    """How many entries there are, archived ones among them, and what is wrong."""
    report = check(engine, archived=read_archives(engine, folder))
    return report.checked, list(map(str, report.findings))
