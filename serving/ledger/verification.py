"""Finds what has been changed in a ledger that may only grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import reading
from serving.ledger.parts import parts_from_text
from serving.ledger.records import ENTRY_FIELDS, Entry
from serving.ledger.schema import RESERVED, SETTLED

_ROWS_AT_A_TIME: Final = 1000
_TENANTS_AT_A_TIME: Final = 500
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
    """Check every entry against its hash, its neighbours, and all that is derived from it; and
    all that is derived against the entries.

    Args:
      tenant: this one's ledger only; None for all.

    Returns:
      How many entries were checked, and what was found. What cannot be found by a chain
      alone is a tenant's last entries missing together with the chain's end changed to
      fit: keep the end's hash somewhere else (an invoice has it).
    """
    checked, findings = 0, list[Finding]()
    with reading(engine) as connection:
        names = iter(_tenants(connection, tenant))
        # The database's own order of names is that of the ranges below.
        while some := list(islice(names, _TENANTS_AT_A_TIME)):
            for each in _read(connection, some).values():
                checked += each.checked
                findings += each.findings
    return checked, findings


def _tenants(connection: sa.Connection, tenant: str | None) -> Sequence[str]:
    """All whose names are anywhere, in the database's order; or one of them, if it is."""
    columns = [
        schema.tenants.c.name.label("tenant"),
        *(
            each.c.tenant
            for each in (
                schema.chains,
                schema.entries,
                schema.requests,
                schema.accounts,
                schema.month_tokens,
            )
        ),
    ]
    of = [sa.true() if tenant is None else column == tenant for column in columns]
    names = (sa.select(each).where(which) for each, which in zip(columns, of, strict=True))
    return connection.scalars(sa.union(*names).order_by("tenant")).all()


@dataclass
class _Chain:
    """A tenant's chain, as far as it has been read.

    Attributes:
      number, previous: of the last entry.
      spent: in millionths, by month.
      counts: entries, by month.
      tokens: by month, model and count.
      begins: where the next entry must say that it begins.
    """

    tenant: str
    number: int = 0
    previous: str = FIRST_HASH
    checked: int = 0
    findings: list[Finding] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    tokens: Counter[MonthCount] = field(default_factory=Counter)
    begins: dict[MonthCount, int] = field(default_factory=dict)

    def found(self, what: str, number: int | None = None) -> None:
        self.findings.append(Finding(self.tenant, number, what))

    def add(self, entry: Entry, month: str | None) -> None:
        """Check the next entry.

        Args:
          month: in whose account it is; None: it has no request that was settled.
        """
        self.checked += 1
        self._check_link(entry)
        if month is None:
            self.found("has no request that was settled", entry.number)
            return
        for what in _misplaced(entry, month, self.begins):
            self.found(what, entry.number)
        self.spent[month] += entry.amount_micro
        self.counts[month] += 1
        for name in _COUNTS:
            key, used = (month, entry.model, name), getattr(entry, name)
            self.tokens[key] += used
            # From what it says itself: one wrong entry is not the fault of all after it.
            first = entry.schema_version == 1
            said = self.begins.get(key, 0) if first else _before(entry, name)
            self.begins[key] = said + used

    def _check_link(self, entry: Entry) -> None:
        if entry.number != self.number + 1:
            missing = f"{self.number + 1}" + (
                f" to {entry.number - 1}" if entry.number > self.number + 2 else ""
            )
            self.found(f"before it, {missing} is missing", entry.number)
        elif entry.previous_hash != self.previous:
            self.found("does not hold the hash of the entry before it", entry.number)
        if entry.hash != entry_hash(entry):
            self.found("was changed: its hash does not match", entry.number)
        self.number, self.previous = entry.number, entry.hash

    def check_end(self, end: tuple[int, str] | None) -> None:
        """Hold the chain's end to what is written down of it; None: nothing is."""
        if end is None:
            self.found("its chain is missing. Expected: a row of chains for every tenant")
        elif end != (self.number, self.previous):
            self.found(
                f"its chain ends with entry {end[0]}, hash {end[1]}. Found: "
                f"{self.number}, {self.previous}"
            )

    def check_sums(
        self, what: str, said: Mapping[str, int], expected: Mapping[str, int]
    ) -> None:
        """Hold the accounts of the months to what the rows add up to."""
        for month in sorted({*said, *expected}):
            if (account := said.get(month, 0)) != (total := expected.get(month, 0)):
                self.found(
                    f"{account} millionths are {what} in {month} according to its account. "
                    f"Expected: {total}, according to its entries and reservations"
                )

    def check_counts(self, said: Mapping[str, int]) -> None:
        """Hold the numbers of entries that the accounts say to those that there are."""
        for month in sorted({*said, *self.counts}):
            if (count := said.get(month, 0)) != self.counts[month]:
                self.found(
                    f"{count} entries are counted in {month} according to its account. "
                    f"Expected: {self.counts[month]}"
                )

    def check_tokens(self, said: Mapping[MonthCount, int]) -> None:
        """Hold what the next request of a month would begin with to the entries."""
        for key in sorted({*said, *self.tokens}):
            if (counted := said.get(key, 0)) != self.tokens[key]:
                self.found(
                    f"{counted} {key[2]} of {key[1]} are counted in {key[0]}. Expected: "
                    f"{self.tokens[key]}, according to its entries"
                )


def _read(connection: sa.Connection, tenants: Sequence[str]) -> dict[str, _Chain]:
    """Check tenants that follow one another."""
    chains = {tenant: _Chain(tenant) for tenant in tenants}
    first, last = tenants[0], tenants[-1]

    def of(column: sa.Column[str]) -> sa.ColumnElement[bool]:
        return column == first if first == last else column.between(first, last)

    for entry, month in _entries(connection, of):
        chains[entry.tenant].add(entry, month)
    for row in connection.execute(_settled_without_charge(of)):
        chains[row.tenant].found(f"the request {row.request_id} is settled and has no charge")
    ends = {
        tenant: (number, last_hash)
        for tenant, number, last_hash in connection.execute(
            sa.select(schema.chains).where(of(schema.chains.c.tenant))
        )
    }
    sums = _sums(connection, of)
    for tenant, chain in chains.items():
        spent, reserved, open_now, counts, tokens = sums.of(tenant)
        chain.check_end(ends.get(tenant))
        chain.check_sums("spent", spent, chain.spent)
        chain.check_sums("reserved", reserved, open_now)
        chain.check_counts(counts)
        chain.check_tokens(tokens)
    return chains


@dataclass
class _Sums:
    """What the derived tables say, by tenant.

    Attributes:
      spent, reserved, counts: of the accounts, by month.
      open_now: what the open reservations add up to, by month.
      tokens: of the months, by month, model and count.
    """

    spent: dict[str, dict[str, int]]
    reserved: dict[str, dict[str, int]]
    open_now: dict[str, dict[str, int]]
    counts: dict[str, dict[str, int]]
    tokens: dict[str, dict[MonthCount, int]]

    def of(
        self, tenant: str
    ) -> tuple[
        dict[str, int], dict[str, int], dict[str, int], dict[str, int], dict[MonthCount, int]
    ]:
        return (
            self.spent.get(tenant, {}),
            self.reserved.get(tenant, {}),
            self.open_now.get(tenant, {}),
            self.counts.get(tenant, {}),
            self.tokens.get(tenant, {}),
        )


def _sums(connection: sa.Connection, of: Any) -> _Sums:
    sums = _Sums({}, {}, {}, {}, {})
    requests = schema.requests.c
    for row in connection.execute(
        sa.select(schema.accounts).where(of(schema.accounts.c.tenant))
    ):
        sums.spent.setdefault(row.tenant, {})[row.month] = row.spent_micro
        sums.reserved.setdefault(row.tenant, {})[row.month] = row.reserved_micro
        sums.counts.setdefault(row.tenant, {})[row.month] = row.entry_count
    for tenant, month, total in connection.execute(
        sa.select(requests.tenant, requests.month, sa.func.sum(requests.reserved_micro))
        .where(of(requests.tenant), requests.state == RESERVED)
        .group_by(requests.tenant, requests.month)
    ):
        sums.open_now.setdefault(tenant, {})[month] = int(total)
    for row in connection.execute(
        sa.select(schema.month_tokens).where(of(schema.month_tokens.c.tenant))
    ):
        counted = sums.tokens.setdefault(row.tenant, {})
        for name in _COUNTS:
            counted[row.month, row.model, name] = getattr(row, name)
    return sums


def _settled_without_charge(of: Any) -> sa.Select[str, str]:
    requests, entries = schema.requests.c, schema.entries.c
    charged = (
        (entries.request_id == requests.request_id)
        & (entries.kind == "charge")
        & (entries.tenant == requests.tenant)
    )
    return (
        sa.select(requests.tenant, requests.request_id)
        .select_from(schema.requests.outerjoin(schema.entries, charged))
        .where(of(requests.tenant), requests.state == SETTLED, entries.tenant.is_(None))
        .order_by(requests.tenant, requests.created_at, requests.request_id)
    )


def _entries(connection: sa.Connection, of: Any) -> Iterator[tuple[Entry, str | None]]:
    """Entries in order, and the month that each is in the account of."""
    entries, requests = schema.entries.c, schema.requests.c
    settled = (
        (requests.request_id == entries.request_id)
        & (requests.tenant == entries.tenant)
        & (requests.state == SETTLED)
    )
    rows = connection.execute(
        sa.select(*(entries[name] for name in ENTRY_FIELDS), requests.month)
        .select_from(schema.entries.outerjoin(schema.requests, settled))
        .where(of(entries.tenant))
        .order_by(entries.tenant, entries.number),
        execution_options={"yield_per": _ROWS_AT_A_TIME},
    )
    for row in rows:
        values: tuple[Any, ...] = tuple(row)
        yield Entry(*values[:-1]), values[-1]


def _before(entry: Entry, count: str) -> int:
    return int(getattr(entry, f"{count}_before"))


def _misplaced(entry: Entry, month: str, begins: Mapping[MonthCount, int]) -> Iterator[str]:
    """What is wrong with what an entry says of its position in the month, and of its parts."""
    if entry.schema_version == 1:
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
