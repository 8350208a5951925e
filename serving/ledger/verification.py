"""Finds what has been changed in a ledger that may only grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.anchors import ChainEnd
from serving.ledger.authentication import LedgerKey
from serving.ledger.database import reading
from serving.ledger.records import ENTRY_FIELDS, Entry
from serving.ledger.schema import RESERVED, SETTLED
from serving.ledger.verified_chain import Chain, Counts, Finding, ModelMonth

_ROWS_AT_A_TIME: Final = 1000
_TENANTS_AT_A_TIME: Final = 500


@dataclass
class Report:
    """What a check has come to.

    Attributes:
      checked: entries.
      unauthenticated: of these, those without a code.
    """

    checked: int = 0
    unauthenticated: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(engine: sa.Engine, tenant: str | None = None) -> tuple[int, list[Finding]]:
    """Check the ledger without keys or anchors, see `check`.

    Returns:
      How many entries were checked, and what was found.
    """
    report = check(engine, tenant)
    return report.checked, report.findings


def check(
    engine: sa.Engine,
    tenant: str | None = None,
    keys: Sequence[LedgerKey] = (),
    ends: Mapping[str, Sequence[ChainEnd]] = MappingProxyType({}),
) -> Report:
    """Check every entry against its hash, its neighbours, and all that is derived from it; and
    all that is derived against the entries.

    Args:
      tenant: this one's ledger only; None for all.
      keys: with any of which entries are authenticated: from a tenant's first one that is, all
        must be. None: codes are not checked.
      ends: of anchors, by tenant: each must be in the chain. Without them it cannot be found
        that a tenant's last entries are missing, and its chain's end changed to fit.
    """
    report = Report()
    with reading(engine) as connection:
        there = _tenants(connection, tenant)
        names = iter(there)
        # The database's own order of names is that of the ranges below.
        while some := list(islice(names, _TENANTS_AT_A_TIME)):
            chains = {name: Chain(name, keys, ends.get(name, ())) for name in some}
            _read(connection, chains)
            for each in chains.values():
                report.checked += each.checked
                report.unauthenticated += each.unauthenticated
                report.findings += each.findings
    for name in sorted(({tenant} & ends.keys() if tenant else ends.keys()) - set(there)):
        report.findings += Chain(name, keys, ends[name]).gone()
    return report


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


def _read(connection: sa.Connection, chains: Mapping[str, Chain]) -> None:
    """Check tenants that follow one another."""
    first, *_, last = [*chains, *chains]

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


@dataclass
class _Sums:
    """What the derived tables say, by tenant.

    Attributes:
      spent, reserved, counts: of the accounts, by month.
      open_now: what the open reservations add up to, by month.
      tokens: of the months, by month and model.
    """

    spent: dict[str, dict[str, int]]
    reserved: dict[str, dict[str, int]]
    open_now: dict[str, dict[str, int]]
    counts: dict[str, dict[str, int]]
    tokens: dict[str, dict[ModelMonth, Counts]]

    def of(
        self, tenant: str
    ) -> tuple[
        dict[str, int], dict[str, int], dict[str, int], dict[str, int], dict[ModelMonth, Counts]
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
        counts = row.input_tokens, row.cached_tokens, row.output_tokens
        sums.tokens.setdefault(row.tenant, {})[row.month, row.model] = counts
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
