"""What is added to a tenant's chain by hand: reversals, refunds and top-ups."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from serving.billing.currencies import CurrencyError, decimals_of
from serving.gateway.administration.administrator import Administrator
from serving.gateway.tenants import TenantError
from serving.ledger import Entry, Ledger
from serving.ledger.authentication import LedgerKey
from serving.ledger.parts import Meter


def reverse_charge(
    by: Administrator,
    tenant: str,
    number: int,
    reason: str,
    key: LedgerKey | None = None,
    archives: Path | None = None,
) -> Entry:
    """Take a charge back; see `serving.ledger.Ledger.reverse`.

    Args:
      key: to authenticate the entry with; None: it is not.
      archives: folder of the archives, for a charge that is archived.

    Raises:
      LedgerError: it cannot be reversed, or the reason is missing.
    """
    record = partial(by.row, "ledger.reverse", tenant, f"entry {number}")
    return _ledger(by, key).reverse(tenant, number, reason, by.name, record, archives)


def refund_charge(
    by: Administrator,
    tenant: str,
    number: int,
    reason: str,
    key: LedgerKey | None = None,
    *,
    amount_micro: int | None = None,
    tokens: Mapping[Meter, int] | None = None,
    archives: Path | None = None,
) -> Entry:
    """Give back a part of a charge, or all that is left; see `serving.ledger.Ledger.refund`.

    Args:
      key, archives: as of `reverse_charge`.

    Raises:
      LedgerError: it cannot be refunded, or the reason is missing.
    """
    record = partial(by.row, "ledger.refund", tenant, f"entry {number}")
    return _ledger(by, key).refund(
        tenant,
        number,
        reason,
        by.name,
        amount_micro=amount_micro,
        tokens=tokens,
        record=record,
        archives=archives,
    )


def top_up_credit(
    by: Administrator,
    tenant: str,
    amount_micro: int,
    currency: str,
    reason: str,
    request_id: str | None = None,
    key: LedgerKey | None = None,
) -> Entry:
    """Add to a tenant's prepaid credit; see `serving.ledger.Ledger.top_up`.

    Args:
      key: as of `reverse_charge`.

    Raises:
      TenantError: there is no such currency.
      LedgerError: it cannot be added, or the reason is missing.
    """
    try:
        decimals_of(currency)
    except CurrencyError as error:
        raise TenantError(str(error)) from None
    record = partial(by.row, "ledger.top_up", tenant, "credit")
    return _ledger(by, key).top_up(
        tenant, amount_micro, currency, reason, by.name, request_id, record
    )


def _ledger(by: Administrator, key: LedgerKey | None) -> Ledger:
    return Ledger(by.engine, "tallygraph-ledger", by.clock, key=key)
