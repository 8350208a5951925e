"""The ledger as a whole: checked in a process of its own, anchored; and its invoiced months."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.gateway.administration.administrator import Administrator
from serving.gateway.tenants import TenantError, is_name, no_tenant
from serving.ledger import LedgerError, anchors
from serving.ledger.archive import Archived, archive_month
from serving.ledger.authentication import LedgerKey
from serving.ledger.database import reading, writing

_PROGRAM = ("-m", "serving.ledger.check_process")
_MONTHS = sa.text(
    "SELECT month, spent_micro, entry_count FROM accounts "
    "WHERE tenant = :tenant AND entry_count > 0 ORDER BY month"
)


class CheckError(RuntimeError):
    """The ledger could not be checked; the message says why."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the ledger has come to.

    Attributes:
      checked: entries.
      unauthenticated: of these, those without a code; of worth only if a key was given.
      anchor_lines: how many were read.
      findings: what is wrong, in words; none: nothing.
    """

    checked: int
    unauthenticated: int
    anchor_lines: int
    findings: list[str]


@dataclass(frozen=True, slots=True)
class InvoicedMonth:
    """A month that a tenant has an invoice for, or a draft.

    Attributes:
      month: of the reservations, in UTC, such as 2026-11.
      amount_micro: in millionths.
      entries: charges and reversals.
    """

    month: str
    amount_micro: int
    entries: int


async def check_ledger(
    engine: sa.Engine,
    tenant: str = "",
    keys: Sequence[Path] = (),
    anchor_lines: Sequence[str] = (),
) -> Checked:
    """Check the ledger as `tallygraph ledger verify` does, in a process of its own: it computes
    for as long as it takes, and no request waits for it.

    Args:
      tenant: this one's only; empty: all.
      keys: files of keys that entries and anchors are authenticated with.
      anchor_lines: that the ledger must agree with.

    Raises:
      TenantError: an anchor or a key cannot be read.
      CheckError: the process failed.
    """
    asked = {
        "url": engine.url.render_as_string(hide_password=False),
        "tenant": tenant,
        "keys": [str(path) for path in keys],
        "anchors": list(anchor_lines),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *_PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        # By its input: a command line could be read by every user of the machine.
        out, _ = await process.communicate(json.dumps(asked).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CheckError(
            f"The check ended with status {process.returncode}. Try again; `tallygraph ledger "
            "verify` says more."
        )
    told = json.loads(out)
    if "error" in told:
        raise TenantError(told["error"])
    return Checked(**told)


def anchor_ledger(
    by: Administrator, key: Path | None, deliver: bool, to: Path | None = None
) -> list[str]:
    """Make an anchor of all chains as they are now.

    Args:
      key: file of the key that it is authenticated with; None: it is not.
      deliver: have it delivered with the usage events, too.
      to: file to append it to, too; None for none.

    Returns:
      Its lines, to be kept where nobody can reach them from the ledger.

    Raises:
      TenantError: the key cannot be read, or the file cannot be written.
    """
    try:
        lines = anchors.make_anchor(by.engine, LedgerKey.load(key) if key else None, by.clock)
        if to is not None:
            anchors.append_to(to, lines)
    except LedgerError as error:
        raise TenantError(str(error)) from None
    with writing(by.engine) as connection:
        if deliver:
            anchors.put_into_outbox(connection, lines)
        after: dict[str, Any] = {"lines": len(lines), "delivered": deliver}
        after["authenticated"] = key is not None
        if to is not None:
            after["file"] = str(to)
        by.record(connection, "ledger.anchor", "", "ledger", after=after)
    return lines


def archive_ledger(
    by: Administrator, month: str, folder: Path, key: LedgerKey | None = None
) -> Archived:
    """Archive a closed month; see `serving.ledger.archive.archive_month`.

    Raises:
      ArchiveError: it cannot be archived.
    """
    record = partial(by.row, "ledger.archive", "", month)
    return archive_month(by.engine, month, folder, key, by.clock, record)


def invoiced_months(engine: sa.Engine, tenant: str) -> list[InvoicedMonth]:
    """Months in which a tenant has entries, the oldest first.

    Raises:
      NoSuchTenantError: there is no such tenant.
    """
    if not is_name(tenant):
        raise no_tenant(tenant)
    with reading(engine) as connection:
        return [InvoicedMonth(*row) for row in connection.execute(_MONTHS, {"tenant": tenant})]
