"""What an administrator adds to a tenant's chain: credit, and refunds."""

from __future__ import annotations

from pathlib import Path

from serving.gateway.administration.administrator import Administrator
from serving.gateway.tenants import TenantError
from serving.ledger import Entry, Ledger, LedgerError
from serving.ledger.authentication import LedgerKey
from serving.ledger.database import writing


def refund_charge(
    by: Administrator,
    tenant: str,
    number: int,
    reason: str,
    key: Path | None = None,
    amount_micro: int | None = None,
) -> Entry:
    """Give back a part of a charge, or all that is left of it.

    Args:
      number: of the charge's entry.
      key: file of the key that entries are authenticated with; None: they are not.
      amount_micro: in millionths; None for all that is left.

    Raises:
      TenantError: there is no such charge, not so much is left of it, or no reason is given.
    """
    try:
        entry = _ledger(by, key).refund(
            tenant, number, reason, by.name, amount_micro=amount_micro
        )
    except LedgerError as error:
        raise TenantError(str(error)) from None
    _record(by, "ledger.refund", tenant, f"entry {number}", entry)
    return entry


def top_up_credit(
    by: Administrator,
    tenant: str,
    amount_micro: int,
    currency: str,
    reason: str,
    request_id: str | None = None,
    key: Path | None = None,
) -> Entry:
    """Add to a tenant's prepaid credit; from its first top-up on it pays in advance.

    Args:
      amount_micro: in millionths; negative to pay back what is left.
      request_id: with the same one, it is added once.
      key: as of `refund_charge`.

    Raises:
      TenantError: it cannot be added, or no reason is given.
    """
    try:
        entry = _ledger(by, key).top_up(
            tenant, amount_micro, currency, reason, by.name, request_id
        )
    except LedgerError as error:
        raise TenantError(str(error)) from None
    _record(by, "ledger.top_up", tenant, "credit", entry)
    return entry


def _ledger(by: Administrator, key: Path | None) -> Ledger:
    try:
        loaded = LedgerKey.load(key) if key else None
    except LedgerError as error:
        raise TenantError(str(error)) from None
    return Ledger(by.engine, "tallygraph-console", by.clock, key=loaded)


def _record(by: Administrator, action: str, tenant: str, subject: str, entry: Entry) -> None:
    after = {
        "entry": entry.number,
        "amount_micro": entry.amount_micro,
        "currency": entry.currency,
        "reason": entry.reason,
    }
    with writing(by.engine) as connection:
        by.record(connection, action, tenant, subject, after=after)
