"""Finds what has been changed in a ledger that may only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import reading
from serving.ledger.parts import parts_from_text
from serving.ledger.records import Entry
from serving.ledger.schema import RESERVED, SETTLED

_ROWS_AT_A_TIME: Final = 1000
_COUNTS: Final = ("input_tokens", "cached_tokens", "output_tokens")

MonthCount = tuple[str, str, str]
"""A month, a model, and which of its counts."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be.

    Attributes:
      tenant: whose ledger.
      number: the entry; None where it is not one entry's fault.
      what: what is wrong.
    """

    tenant: str
    number: int | None
    what: str

    def __str__(self) -> str:
        entry = "" if self.number is None else f", entry {self.number}"
        return f"{self.tenant}{entry}: {self.what}"


def verify(engine: sa.Engine, tenant: str | None = None) -> tuple[int, list[Finding]]:
    """Check every entry against its hash, its neighbours, and all that is derived from it.

    Args:
      tenant: this one's ledger only; None for all.

    Returns:
      How many entries were checked, and what was found. What cannot be found by a chain
      alone is a tenant's last entries missing together with the chain's end changed to
      fit: keep the end's hash somewhere else (an invoice has it).
    """
    with reading(engine) as connection:
        tenants = (
            [tenant]
            if tenant
            else connection.scalars(
                sa.union(
                    sa.select(schema.chains.c.tenant), sa.select(schema.entries.c.tenant)
                ).order_by("tenant")
            ).all()
        )
        checked, findings = 0, []
        for each in tenants:
            count, found = _verify_tenant(connection, each)
            checked += count
            findings += found
    return checked, findings


def _verify_tenant(connection: sa.Connection, tenant: str) -> tuple[int, list[Finding]]:
    findings: list[Finding] = []
    number, previous = 0, FIRST_HASH
    spent: Counter[str] = Counter()
    tokens: Counter[MonthCount] = Counter()
    begins: dict[MonthCount, int] = {}  # where the next entry says that it begins
    count = 0
    for entry, month in _entries(connection, tenant):
        count += 1
        if entry.number != number + 1:
            missing = f"{number + 1}" + (
                f" to {entry.number - 1}" if entry.number > number + 2 else ""
            )
            findings.append(Finding(tenant, entry.number, f"before it, {missing} is missing"))
        elif entry.previous_hash != previous:
            findings.append(
                Finding(tenant, entry.number, "does not hold the hash of the entry before it")
            )
        if entry.hash != entry_hash(entry):
            findings.append(
                Finding(tenant, entry.number, "was changed: its hash does not match")
            )
        if month is None:
            findings.append(Finding(tenant, entry.number, "has no request that was settled"))
        else:
            findings += [
                Finding(tenant, entry.number, what) for what in _misplaced(entry, month, begins)
            ]
            spent[month] += entry.amount_micro
            for name in _COUNTS:
                key, used = (month, entry.model, name), getattr(entry, name)
                tokens[key] += used
                # From what it says itself: one wrong entry is not the fault of all after it.
                said = begins.get(key, 0) if entry.form == 1 else _before(entry, name)
                begins[key] = said + used
        number, previous = entry.number, entry.hash
    end = connection.execute(
        sa.select(schema.chains).where(schema.chains.c.tenant == tenant)
    ).one_or_none()
    expected = (end.number, end.hash) if end else (0, FIRST_HASH)
    if expected != (number, previous):
        findings.append(
            Finding(
                tenant,
                None,
                f"its chain ends with entry {expected[0]}, hash {expected[1]}. Found: "
                f"{number}, {previous}",
            )
        )
    findings += _verify_accounts(connection, tenant, spent)
    return count, findings + _verify_tokens(connection, tenant, tokens)


def _before(entry: Entry, count: str) -> int:
    return int(getattr(entry, f"{count}_before"))


def _misplaced(entry: Entry, month: str, begins: Mapping[MonthCount, int]) -> Iterator[str]:
    """What is wrong with what an entry says of its place in the month, and of its parts."""
    if entry.form == 1:
        return  # it says nothing
    if entry.month != month:
        yield f"is in the month {entry.month}. Expected: {month}, of its reservation"
    for name in _COUNTS:
        said, expected = _before(entry, name), begins.get((month, entry.model, name), 0)
        if said != expected:
            yield (
                f"has {said} {name} before it. Expected: {expected}, according to the entry "
                "before it"
            )
    try:
        parts = parts_from_text(entry.parts)
    except ValueError as error:
        yield str(error)
        return
    total = sum(part.amount_micro for part in parts)
    if parts and total != entry.amount_micro:
        yield (
            f"costs {entry.amount_micro} millionths. Expected: {total}, according to its parts"
        )


def _entries(connection: sa.Connection, tenant: str) -> Iterator[tuple[Entry, str | None]]:
    """A tenant's entries in order, and the month that each is in the account of."""
    columns = schema.entries.c
    rows = connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(
        sa.select(schema.entries, schema.requests.c.month.label("of_request"))
        .outerjoin(
            schema.requests,
            (schema.requests.c.request_id == columns.request_id)
            & (schema.requests.c.tenant == columns.tenant)
            & (schema.requests.c.state == SETTLED),
        )
        .where(columns.tenant == tenant)
        .order_by(columns.number)
    )
    for row in rows:
        values: dict[str, Any] = dict(row._mapping)
        month = values.pop("of_request")
        yield Entry(**values), month


def _verify_accounts(
    connection: sa.Connection, tenant: str, spent: Mapping[str, int]
) -> list[Finding]:
    """What the accounts say against what entries and reservations add up to."""
    reserved = {
        row.month: int(row.total)
        for row in connection.execute(
            sa.select(
                schema.requests.c.month,
                sa.func.sum(schema.requests.c.reserved_micro).label("total"),
            )
            .where(schema.requests.c.tenant == tenant, schema.requests.c.state == RESERVED)
            .group_by(schema.requests.c.month)
        )
    }
    accounts = connection.execute(
        sa.select(schema.accounts).where(schema.accounts.c.tenant == tenant)
    ).all()
    said = {
        "spent": {row.month: row.spent_micro for row in accounts},
        "reserved": {row.month: row.reserved_micro for row in accounts},
    }
    findings = []
    for what, adds_up in (("spent", spent), ("reserved", reserved)):
        for month in sorted({*said[what], *adds_up}):
            account, total = said[what].get(month, 0), adds_up.get(month, 0)
            if account != total:
                findings.append(
                    Finding(
                        tenant,
                        None,
                        f"{account} millionths are {what} in {month} according to its "
                        f"account. Expected: {total}, according to its entries and "
                        "reservations",
                    )
                )
    return findings


def _verify_tokens(
    connection: sa.Connection, tenant: str, counted: Mapping[MonthCount, int]
) -> list[Finding]:
    """Where the next request of a month would begin, against what the entries add up to."""
    said = {
        (row.month, row.model, name): getattr(row, name)
        for row in connection.execute(
            sa.select(schema.month_tokens).where(schema.month_tokens.c.tenant == tenant)
        )
        for name in _COUNTS
    }
    return [
        Finding(
            tenant,
            None,
            f"{said.get(key, 0)} {key[2]} of {key[1]} are counted in {key[0]}. Expected: "
            f"{counted.get(key, 0)}, according to its entries",
        )
        for key in sorted({*said, *counted})
        if said.get(key, 0) != counted.get(key, 0)
    ]
