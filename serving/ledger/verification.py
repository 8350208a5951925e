"""Finds what has been changed in a ledger that may only grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.anchors import ChainEnd
from serving.ledger.authentication import LedgerKey
from serving.ledger.budgets import Credit
from serving.ledger.carried import carried, go_on
from serving.ledger.daily_usage import DailySums, wrong_usage
from serving.ledger.database import reading
from serving.ledger.schema import RESERVED, SETTLED
from serving.ledger.verified_chain import ROW_FIELDS, Chain, Counts, Finding, ModelMonth

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
    archived: Mapping[str, Chain] = MappingProxyType({}),
) -> Report:
    """Check every entry against its hash, its neighbours, and all that is derived from it; and
    all that is derived against the entries.

    Args:
      tenant: this one's ledger only; None for all.
      keys: with any of which entries are authenticated: from a tenant's first one that is, all
        must be. None: codes are not checked.
      ends: of anchors, by tenant: each must be in the chain. Without them it cannot be found
        that a tenant's last entries are missing, and its chain's end changed to fit.
      archived: chains as far as they were read from archives
        (`serving.ledger.archive.read_archives`). Of a tenant that is not among them, it is
        believed what is written down of its archived entries.
    """
    report = Report()
    with reading(engine) as connection:
        there = _tenants(connection, tenant)
        names, usage = iter(there), _Usage()
        # The database's own order of names is that of the ranges below.
        while some := list(islice(names, _TENANTS_AT_A_TIME)):
            chains = {
                name: archived.get(name) or Chain(name, keys, ends.get(name, ()))
                for name in some
            }
            _read(connection, chains, usage)
            for each in chains.values():
                report.checked += each.checked
                report.unauthenticated += each.unauthenticated
                report.findings += each.findings
        if not usage.agrees or usage.rows != _usage_rows(connection, tenant):
            # It is added up from entries: where those are wrong, it says nothing.
            wrong = {finding.tenant for finding in report.findings}
            report.findings += [
                Finding(name, None, what)
                for name, what in wrong_usage(connection, tenant)
                if name not in wrong
            ]
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


@dataclass(slots=True)
class _Usage:
    """What is found of the sums by day, while the entries are read anyway: only where they do
    not agree the database is asked which one it is.

    Attributes:
      agrees: all that were read are those of the entries.
      rows: so many were read.
    """

    agrees: bool = True
    rows: int = 0


def _usage_rows(connection: sa.Connection, tenant: str | None) -> int:
    """How many sums there are; some may be of tenants who are nowhere else."""
    tables = schema.daily_usage, schema.archived_usage
    of = [sa.true() if tenant is None else each.c.tenant == tenant for each in tables]
    counts = [
        sa.select(sa.func.count()).select_from(each).where(which)
        for each, which in zip(tables, of, strict=True)
    ]
    return sum(connection.scalars(each).one() for each in counts)


def _read(connection: sa.Connection, chains: Mapping[str, Chain], usage: _Usage) -> None:
    """Check tenants that follow one another."""
    first, *_, last = [*chains, *chains]
    between = {"first": first, "last": last}

    def ask(statement: str) -> Any:
        return connection.execute(_STATEMENTS[statement], between)

    states = {tenant: (last, state) for tenant, last, state in ask("archives")}
    for tenant, (last, state) in states.items():
        if not chains[tenant].number:
            go_on(chains[tenant], state)
        elif carried(chains[tenant]) != state:
            chains[tenant].found(
                f"its archived entries, up to {last}, add up to {carried(chains[tenant])}. "
                f"Found in the ledger: {state}"
            )
    entries, used = ask("entries_after_archives" if states else "entries"), DailySums()
    while some := entries.fetchmany(_ROWS_AT_A_TIME):
        for tenant, rows in groupby(some, _tenant_of):
            add_row = chains[tenant].add_row
            for row in map(tuple, rows):
                add_row(row)
                used.add(row, row[-2], row[-1])
    daily, archived = [list(map(tuple, ask(of))) for of in ("daily_usage", "archived_usage")]
    usage.rows += len(daily) + len(archived)
    usage.agrees = used.agree(daily, archived) and usage.agrees
    settled = dict(map(tuple, ask("settled")))
    if any(settled.get(name, 0) != chain.charged for name, chain in chains.items()):
        for tenant, request_id in ask("settled_without_charge"):
            chains[tenant].found(f"the request {request_id} is settled and has no charge")
    ends = {row[0]: row[1:] for row in map(tuple, ask("chains"))}
    sums = _sums(ask)
    for tenant, chain in chains.items():
        of = sums.get(tenant) or _Sums()
        number, last_hash, *credit = ends.get(tenant, (None,) * 5)
        chain.check_end(None if number is None else (number, last_hash))
        chain.check_credit(None if not credit or credit[0] is None else Credit(*credit))
        chain.check_sums("spent", of.spent, chain.spent)
        chain.check_sums("reserved", of.reserved, of.open_now)
        chain.check_counts(of.counts)
        chain.check_tokens(of.tokens)


@dataclass(slots=True)
class _Sums:
    """What the derived tables say of a tenant.

    Attributes:
      spent, reserved, counts: of the accounts, by month.
      open_now: what the open reservations add up to, by month.
      tokens: of the months, by month and model.
    """

    spent: dict[str, int] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    open_now: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: dict[ModelMonth, Counts] = field(default_factory=dict)


def _sums(ask: Callable[[str], Any]) -> Mapping[str, _Sums]:
    sums = defaultdict[str, _Sums](_Sums)
    for tenant, month, spent, reserved, count in ask("accounts"):
        of = sums[tenant]
        of.spent[month], of.counts[month] = spent, count
        if reserved:
            of.reserved[month] = reserved
    for tenant, month, total in ask("open"):
        if total:
            sums[tenant].open_now[month] = int(total)
    for tenant, month, model, *counts in ask("month_tokens"):
        read, cached, written = counts
        sums[tenant].tokens[month, model] = read, cached, written
    return sums


_tenant_of: Final = itemgetter(0)
# An entry, the month that it is in the account of, and what it counts as in the sums by day.
_ROW: Final = (
    f"{', '.join(f'e.{name}' for name in ROW_FIELDS)}, "
    f"CASE WHEN r.tenant = e.tenant AND r.state = '{SETTLED}' THEN r.month END, "
    "r.month, r.key_id"
)
_WITH_REQUEST: Final = "LEFT JOIN requests r ON r.request_id = e.request_id"
_USAGE: Final = (
    "tenant, month, key_id, day, model, requests, input_tokens, cached_tokens, "
    "output_tokens, amount_micro"
)
_BETWEEN: Final = "tenant BETWEEN :first AND :last"
# In plain SQL: rows come as the driver makes them, and nothing is parsed that is as expected.
_STATEMENTS: Final = {
    name: sa.text(text).execution_options(yield_per=_ROWS_AT_A_TIME)
    for name, text in {
        # Entries in order.
        "entries": f"SELECT {_ROW} FROM entries e {_WITH_REQUEST} "
        f"WHERE e.{_BETWEEN} ORDER BY e.tenant, e.number",
        "entries_after_archives": f"SELECT {_ROW} FROM entries e {_WITH_REQUEST} "
        "LEFT JOIN (SELECT tenant, max(last_number) AS last FROM archives "
        f"WHERE {_BETWEEN} GROUP BY tenant) a ON a.tenant = e.tenant "
        f"WHERE e.{_BETWEEN} AND e.number > coalesce(a.last, 0) ORDER BY e.tenant, e.number",
        # The last one of each tenant comes last.
        "archives": "SELECT tenant, last_number, carried FROM archives "
        f"WHERE {_BETWEEN} ORDER BY tenant, last_number",
        # The state is counted, not asked for: else SQLite goes through its index of states,
        # which is all requests, for each range of tenants.
        "settled": f"SELECT tenant, sum(CASE state WHEN '{SETTLED}' THEN 1 ELSE 0 END) "
        f"FROM requests WHERE {_BETWEEN} GROUP BY tenant",
        "settled_without_charge": "SELECT r.tenant, r.request_id FROM requests r "
        "LEFT JOIN entries e ON e.request_id = r.request_id AND e.tenant = r.tenant "
        # Of one whose charge is archived, what was given back later is here.
        "AND (e.kind = 'charge' OR EXISTS (SELECT 1 FROM archives a "
        f"WHERE a.tenant = r.tenant)) WHERE r.{_BETWEEN} AND r.state = '{SETTLED}' "
        "AND e.tenant IS NULL ORDER BY r.tenant, r.created_at, r.request_id",
        "chains": "SELECT tenant, number, hash, credit_since, credit_micro, credit_used_micro "
        f"FROM chains WHERE {_BETWEEN}",
        "accounts": "SELECT tenant, month, spent_micro, reserved_micro, entry_count "
        f"FROM accounts WHERE {_BETWEEN}",
        "open": "SELECT tenant, month, sum(reserved_micro) FROM requests "
        f"WHERE {_BETWEEN} AND state = '{RESERVED}' GROUP BY tenant, month",
        "daily_usage": f"SELECT {_USAGE} FROM daily_usage WHERE {_BETWEEN}",
        "archived_usage": f"SELECT {_USAGE} FROM archived_usage WHERE {_BETWEEN}",
        "month_tokens": "SELECT tenant, month, model, input_tokens, cached_tokens, "
        f"output_tokens FROM month_tokens WHERE {_BETWEEN}",
    }.items()
}
