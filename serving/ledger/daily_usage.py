"""What tenants have used by day, key and model, from sums that are kept with each charge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add, itemgetter
from typing import Any, Final, Literal

import sqlalchemy as sa

from serving.ledger.changes import REQUESTS_OF
from serving.ledger.database import reading
from serving.ledger.sql import Row
from serving.ledger.verified_chain import ROW_FIELDS

Dimension = Literal["tenant", "day", "key_id", "model"]
DIMENSIONS: Final[tuple[Dimension, ...]] = ("tenant", "day", "key_id", "model")
_COUNTS: Final = ("requests", "input_tokens", "cached_tokens", "output_tokens", "amount_micro")
_of_entry: Final = itemgetter(
    *map(ROW_FIELDS.index, ("tenant", "kind", "created_at", "model", *_COUNTS[1:]))
)
_DAY: Final = {
    "postgresql": "to_char(e.created_at, 'YYYY-MM-DD')",
    "sqlite": "substr(e.created_at, 1, 10)",
}


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which usage, and how it is added up.

    Attributes:
      since, until: days, both included, such as 2026-11-01, UTC: those of the entries. Empty:
        from the first, up to the last.
      by: what each row is about; all else is added up.
      tenant, key_id, model: only this one's; empty for all.
      after: the values of `by` of the last row of the page before; empty for the first page.
      limit: so many rows at most.
    """

    since: str = ""
    until: str = ""
    by: tuple[Dimension, ...] = DIMENSIONS
    tenant: str = ""
    key_id: str = ""
    model: str = ""
    after: tuple[str, ...] = ()
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used: charges less what was reversed.

    Attributes:
      of: the values of the query's `by`. A key's id is empty where it was not written down.
      requests: charges minus reversals.
      input_tokens, cached_tokens, output_tokens: ids; cached ones are among the input's.
      amount_micro: in millionths of the currency's unit.
    """

    of: tuple[str, ...]
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int


def read_usage(engine: sa.Engine, query: UsageQuery) -> list[UsageRow]:
    """Read a page, in the order of the query's `by`.

    Raises:
      ValueError: `by` is empty, has something twice or something else, or `after` is not of it.
    """
    by = query.by
    if not by or len(set(by)) < len(by) or not set(by) <= set(DIMENSIONS):
        raise ValueError(
            f"Usage is added up by some of {', '.join(DIMENSIONS)}, each once. Received: "
            f"{', '.join(by)[:100] or 'none'}"
        )
    if query.after and len(query.after) != len(by):
        raise ValueError(f"A page begins after {len(by)} values. Received: {len(query.after)}")
    columns = ", ".join(by)
    values: dict[str, Any] = {"most": query.limit}
    conditions = ["1 = 1"]
    for column, operator, value in (
        ("tenant", "=", query.tenant),
        ("key_id", "=", query.key_id),
        ("model", "=", query.model),
        ("day", ">=", query.since),
        ("day", "<=", query.until),
    ):
        if value:
            name = f"value_{len(values)}"
            conditions.append(f"{column} {operator} :{name}")
            values[name] = value
    if query.after:
        names = [f"after_{name}" for name in by]
        conditions.append(f"({columns}) > ({', '.join(f':{name}' for name in names)})")
        values |= dict(zip(names, query.after, strict=True))
    sums = ", ".join(f"sum({name})" for name in _COUNTS)
    statement = sa.text(
        f"SELECT {columns}, {sums} FROM daily_usage WHERE {' AND '.join(conditions)} "
        f"GROUP BY {columns} ORDER BY {columns} LIMIT :most"
    )
    with reading(engine) as connection:
        return [
            UsageRow(tuple(row[: len(by)]), *map(int, row[len(by) :]))
            for row in connection.execute(statement, values)
        ]


def wrong_usage(connection: sa.Connection, tenant: str | None) -> Iterator[tuple[str, str]]:
    """Sums that are not those of the entries, and of what is written down of archived ones:
    tenants, and what is found.

    Args:
      tenant: this one's only; None for all.
    """
    keys = "tenant, month, key_id, day, model"
    negatives = ", ".join(f"-e.{name}" for name in _COUNTS[1:])
    different = " OR ".join(f"sum({name}) <> 0" for name in _COUNTS)
    of = "AND {0}.tenant = :tenant" if tenant is not None else ""
    values = {} if tenant is None else {"tenant": tenant}
    entry_day = _DAY[connection.dialect.name]
    statement = sa.text(
        f"SELECT {keys}, sum(requests) FROM ("
        f"SELECT {keys}, {', '.join(_COUNTS)} FROM daily_usage d "
        f"WHERE TRUE {of.format('d')} UNION ALL "
        f"SELECT {keys}, {', '.join(f'-{name}' for name in _COUNTS)} FROM archived_usage a "
        f"WHERE TRUE {of.format('a')} UNION ALL "
        f"SELECT e.tenant, r.month, r.key_id, {entry_day}, e.model, "
        f"CASE e.kind WHEN 'charge' THEN -1 WHEN 'reversal' THEN 1 ELSE 0 END, {negatives} "
        "FROM entries e JOIN requests r ON r.request_id = e.request_id "
        # Between its archiving and its removal, an entry is in both.
        "LEFT JOIN (SELECT tenant, max(last_number) AS last FROM archives GROUP BY tenant) p "
        "ON p.tenant = e.tenant "
        f"WHERE e.number > coalesce(p.last, 0) {of.format('e')}"
        f") AS compared GROUP BY {keys} HAVING {different} ORDER BY {keys}"
    )
    rows: Sequence[Any] = connection.execute(statement, values).all()
    for name, _, key_id, day, model, _ in rows:
        yield (
            name,
            f"the usage of {day} of the model {model} and the key {key_id or '(unknown)'} is "
            "not the sum of its entries",
        )


@dataclass(slots=True)
class DailySums:
    """Adds up entries by day, as `daily_usage` does."""

    _sums: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    def add(self, entry: Sequence[Any], month: str | None, key_id: str | None) -> None:
        """An entry.

        Args:
          entry: `serving.ledger.verified_chain.ROW_FIELDS`.
          month, key_id: of its request; None: it has none, as a top-up, and is not usage.
        """
        if month is None:
            return
        tenant, kind, created_at, model, read, cached, written, amount = _of_entry(entry)
        day = created_at[:10] if isinstance(created_at, str) else created_at.date().isoformat()
        sums = self._sums.get(key := (tenant, month, key_id or "", day, model))
        if sums is None:
            sums = self._sums[key] = [0] * 5
        sums[0] += REQUESTS_OF.get(kind, 0)
        sums[1] += read
        sums[2] += cached
        sums[3] += written
        sums[4] += amount

    def agree(self, daily: Iterable[Row], archived: Iterable[Row]) -> bool:
        """Whether `daily_usage` says what was added, together with what is archived.

        Args:
          daily, archived: rows of both tables: tenant, month, key, day, model, and sums.
        """
        for row in archived:
            sums = self._sums.setdefault(row[:5], [0] * 5)
            sums[:] = map(add, sums, row[5:])
        said = {row[:5]: [*row[5:]] for row in daily}
        if said == self._sums:
            return True
        nothing = [0] * 5
        return all(
            said.get(key, nothing) == self._sums.get(key, nothing)
            for key in {*said, *self._sums}
        )

    def rows(self) -> list[dict[str, Any]]:
        """By the columns of the tables."""
        names = ("tenant", "month", "key_id", "day", "model", *_COUNTS)
        return [
            dict(zip(names, (*key, *sums), strict=True)) for key, sums in self._sums.items()
        ]

    def without_keys(self) -> dict[tuple[str, ...], tuple[int, ...]]:
        """By tenant, month, day and model."""
        together: dict[tuple[str, ...], tuple[int, ...]] = {}
        for (tenant, month, _, day, model), sums in self._sums.items():
            key = tenant, month, day, model
            together[key] = tuple(map(add, together.get(key, (0,) * 5), sums))
        return together
