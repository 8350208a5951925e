"""Every statement of a request's life, in SQL, and the driver that runs them.

Each statement is for as many requests as there are in a group: a list of texts is one
parameter, and so are the rows that are inserted into PostgreSQL, which is sent a packet for
each statement; so that a statement is the same however many there are. They are run by the
database's own driver: what SQLAlchemy does around one small statement takes ten times as long
as SQLite takes to run it. Connections, transactions and errors are SQLAlchemy's.

What differs between the databases: how a parameter and a list are written, and that PostgreSQL
locks the rows that it reads. Whoever has locked the requests and the chains has the rest of
their tenants alone; SQLite has one writer at a time.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.records import ENTRY_FIELDS

Values = Mapping[str, Any]
Row = tuple[Any, ...]

_REQUEST: Final = (
    "request_id, tenant, idempotency_key, request_hash, state, month, reserved_micro, route, "
    "key_id"
)
_ENTRY: Final = ", ".join(ENTRY_FIELDS)
# A list of texts, as something to select from, and a test for being in it.
_LIST: Final = re.compile(r"\{(\w+)\}")
_ONE_OF: Final = re.compile(r"IN \{(\w+)\}")
_PARAMETER: Final = re.compile(r"(?<!:):(\w+)")
_INSERT: Final = re.compile(r"INSERT INTO (\w+) \(([^)]*)\) VALUES \(([^)]*)\)(.*)")

_OF_REQUESTS: Final = "SELECT tenant FROM requests WHERE request_id IN {request_ids}"

_ADD_UNDELIVERED: Final = (
    "INSERT INTO undelivered "
    "(request_id, tenant, request_hash, route, answer, kept_until, holder) VALUES "
    "(:request_id, :tenant, :request_hash, :route, :answer, :kept_until, :holder) "
    "ON CONFLICT (request_id)"
)

ADD_AUDIT: Final = (
    "INSERT INTO audit_log "
    "(at, actor, via, action, tenant, subject, before, after, confirmation) VALUES "
    "(:at, :actor, :via, :action, :tenant, :subject, :before, :after, :confirmation)"
)

# `{name}` is a list of texts, `:name` a value; FOR UPDATE is PostgreSQL's alone.
_STATEMENTS: Final = {
    # Read, in this order.
    "lock_requests": f"SELECT {_REQUEST} FROM requests WHERE request_id IN {{request_ids}} "
    "ORDER BY request_id FOR UPDATE",
    "lock_chains": "SELECT tenant, number, hash, credit_since, credit_micro, "
    "credit_used_micro FROM chains "
    f"WHERE tenant IN ({{tenants}} UNION {_OF_REQUESTS}) "
    "ORDER BY tenant FOR UPDATE OF chains",
    "add_chain": "INSERT INTO chains (tenant, number, hash) VALUES (:tenant, :number, :hash) "
    "ON CONFLICT (tenant) DO NOTHING",
    "tokens_before": "SELECT tenant, month, model, input_tokens, cached_tokens, output_tokens "
    f"FROM month_tokens WHERE tenant IN ({{tenants}} UNION {_OF_REQUESTS}) AND month IN ("
    "{months} UNION SELECT month FROM requests WHERE request_id IN {request_ids}) "
    "AND model IN {models}",
    "used_of_accounts": "SELECT tenant, spent_micro + reserved_micro FROM accounts "
    "WHERE tenant IN {tenants} AND month = :month",
    "reserved_of_tenants": "SELECT tenant, sum(reserved_micro) FROM accounts "
    "WHERE tenant IN {tenants} GROUP BY tenant",
    # Of the accounts that requests are to be charged to.
    "watched": "SELECT DISTINCT a.tenant, a.month, a.spent_micro, a.alerted_percent, "
    "t.budget_micro, s.percents FROM requests r JOIN alert_shares s ON s.tenant = r.tenant "
    "JOIN tenants t ON t.name = r.tenant "
    "JOIN accounts a ON a.tenant = r.tenant AND a.month = r.month "
    "WHERE r.request_id IN {request_ids} AND t.budget_micro IS NOT NULL",
    # A key's budget: what is spent, and what is reserved by requests under way.
    "used_of_keys": "SELECT key_id, sum(micro) FROM ("
    "SELECT key_id, amount_micro AS micro FROM daily_usage "
    "WHERE tenant IN {tenants} AND month = :month AND key_id IN {key_ids} "
    "UNION ALL SELECT key_id, reserved_micro FROM requests "
    "WHERE tenant IN {tenants} AND state = 'reserved' AND month = :month "
    "AND key_id IN {key_ids}) AS used GROUP BY key_id",
    # Those that are archived are settled, and have no answer any more.
    "requests_of_keys": f"SELECT {_REQUEST} FROM requests "
    "WHERE tenant IN {tenants} AND idempotency_key IN {keys} UNION ALL "
    "SELECT request_id, tenant, idempotency_key, request_hash, 'settled', month, 0, NULL, '' "
    "FROM archived_keys WHERE tenant IN {tenants} AND idempotency_key IN {keys}",
    "under_way": "SELECT tenant, count(*) FROM requests "
    "WHERE tenant IN {tenants} AND state = 'reserved' GROUP BY tenant",
    "answer": "SELECT answer FROM answers WHERE request_id = :request_id AND kept_until > :now",
    "undelivered": "SELECT request_id, tenant, request_hash, route, answer IS NOT NULL, "
    "holder IS NULL OR holder NOT IN (SELECT lease_id FROM leases) FROM undelivered "
    "WHERE tenant IN {tenants} AND request_hash IN {hashes} AND kept_until > :now "
    "ORDER BY kept_until, request_id",
    "undelivered_answer": "SELECT answer FROM undelivered WHERE request_id = :request_id",
    "charge": f"SELECT {_ENTRY} FROM entries "
    "WHERE request_id = :request_id AND kind = 'charge'",
    "given_back": f"SELECT {_ENTRY} FROM entries "
    "WHERE request_id = :request_id AND kind IN ('reversal', 'refund') ORDER BY number",
    "last_archived": "SELECT coalesce(max(last_number), 0) FROM archives "
    "WHERE tenant = :tenant",
    # Written.
    "add_request": f"INSERT INTO requests ({_REQUEST}, owner, created_at) VALUES "
    "(:request_id, :tenant, :idempotency_key, :request_hash, :state, :month, :reserved_micro, "
    ":route, :key_id, :owner, :created_at)",
    "settle_requests": "UPDATE requests SET state = 'settled' "
    "WHERE request_id IN {request_ids}",
    # One that is released gives its key back.
    "release_requests": "UPDATE requests SET state = 'released', idempotency_key = NULL "
    "WHERE request_id IN {request_ids}",
    "add_entry": f"INSERT INTO entries ({_ENTRY}) VALUES "
    f"({', '.join(f':{name}' for name in ENTRY_FIELDS)})",
    "add_answer": "INSERT INTO answers (request_id, answer, kept_until) "
    "VALUES (:request_id, :answer, :kept_until)",
    "add_undelivered": f"{_ADD_UNDELIVERED} DO UPDATE SET holder = NULL",
    # One whose client went away while it was computed stays free.
    "set_undelivered": f"{_ADD_UNDELIVERED} "
    "DO UPDATE SET answer = excluded.answer, kept_until = excluded.kept_until",
    "hold_undelivered": "UPDATE undelivered SET holder = :holder, kept_until = :kept_until "
    "WHERE request_id = :request_id",
    "remove_undelivered": "DELETE FROM undelivered WHERE request_id IN {request_ids}",
    "add_event": "INSERT INTO outbox (event) VALUES (:event)",
    "add_audit": ADD_AUDIT,
    "move_chain": "UPDATE chains SET number = :number, hash = :hash, "
    "credit_since = :credit_since, credit_micro = :credit_micro, "
    "credit_used_micro = :credit_used_micro WHERE tenant = :tenant",
    "set_alerted": "UPDATE accounts SET alerted_percent = :percent "
    "WHERE tenant = :tenant AND month = :month",
    "set_month": "INSERT INTO month_tokens "
    "(tenant, month, model, input_tokens, cached_tokens, output_tokens) VALUES "
    "(:tenant, :month, :model, :input_tokens, :cached_tokens, :output_tokens) "
    "ON CONFLICT (tenant, month, model) DO UPDATE SET input_tokens = excluded.input_tokens, "
    "cached_tokens = excluded.cached_tokens, output_tokens = excluded.output_tokens",
    "add_daily_usage": "INSERT INTO daily_usage (tenant, month, key_id, day, model, requests, "
    "input_tokens, cached_tokens, output_tokens, amount_micro) VALUES "
    "(:tenant, :month, :key_id, :day, :model, :requests, "
    ":input_tokens, :cached_tokens, :output_tokens, :amount_micro) "
    "ON CONFLICT (tenant, month, key_id, day, model) DO UPDATE SET "
    "requests = daily_usage.requests + excluded.requests, "
    "input_tokens = daily_usage.input_tokens + excluded.input_tokens, "
    "cached_tokens = daily_usage.cached_tokens + excluded.cached_tokens, "
    "output_tokens = daily_usage.output_tokens + excluded.output_tokens, "
    "amount_micro = daily_usage.amount_micro + excluded.amount_micro",
    "reserve_in_account": "INSERT INTO accounts "
    "(tenant, month, spent_micro, reserved_micro, entry_count) "
    "VALUES (:tenant, :month, 0, :reserved_micro, 0) ON CONFLICT (tenant, month) "
    "DO UPDATE SET reserved_micro = accounts.reserved_micro + excluded.reserved_micro",
    "add_to_account": "UPDATE accounts SET spent_micro = spent_micro + :spent_micro, "
    "reserved_micro = reserved_micro + :reserved_micro, entry_count = entry_count + :entries "
    "WHERE tenant = :tenant AND month = :month",
}
_TIMES: Final = {"at", "created_at", "kept_until", "now"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for one kind of database.

    Attributes:
      sql: as the driver takes it, parameters by their names.
      lists, times: parameters that SQLite's driver does not take as they are.
      of_rows: the same for rows that are one parameter, an array of objects in JSON; empty
        where it is run for each of them.
    """

    sql: str
    lists: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    of_rows: str = ""

    def parameters(self, values: Values) -> Values:
        """As the driver takes them."""
        if not self.lists and not self.times:
            return values
        changed = {name: json.dumps(values[name]) for name in self.lists}
        changed |= {name: _time_to_text(values[name]) for name in self.times}
        return {**values, **changed}


class Statements:
    """The statements for one kind of database; each is an attribute."""

    def __init__(self, dialect: sa.Dialect) -> None:
        """
        Args:
          dialect: SQLite's or PostgreSQL's.
        """
        self._dialect = dialect
        self._all = {name: self._made(text) for name, text in _STATEMENTS.items()}

    def __getattr__(self, name: str) -> Statement:
        return self._all[name]

    def _made(self, text: str) -> Statement:
        lists = tuple(sorted(set(_LIST.findall(text))))
        if self._dialect.name == "sqlite":
            text = text.partition(" FOR UPDATE")[0]
            text = _ONE_OF.sub(r"IN (SELECT value FROM json_each(:\1))", text)
            text = _LIST.sub(r"SELECT value FROM json_each(:\1)", text)
            names = set(_PARAMETER.findall(text))
            return Statement(text, lists, tuple(sorted(_TIMES & names)))
        text = _ONE_OF.sub(r"= ANY (:\1::text[])", text)
        text = _LIST.sub(r"SELECT unnest(:\1::text[])", text)
        return Statement(_PARAMETER.sub(r"%(\1)s", text), of_rows=_of_rows(text, self._dialect))


class Driver:
    """Runs statements in a transaction of SQLAlchemy's."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection.connection

    def ask(self, statement: Statement, **values: Any) -> Callable[[], Sequence[Row]]:
        """Run a query; its rows are there when the result is called.

        Until then it need not have come to its end: so several can be on their way at once.
        """
        cursor = self._connection.cursor()
        cursor.execute(statement.sql, statement.parameters(values))
        return cursor.fetchall

    def write(self, statement: Statement, rows: Sequence[Values]) -> None:
        """Run a statement for each of some rows."""
        if len(rows) == 1:
            cursor = self._connection.cursor()
            cursor.execute(statement.sql, statement.parameters(rows[0]))
        elif rows and statement.of_rows:
            cursor = self._connection.cursor()
            cursor.execute(statement.of_rows, [json.dumps(rows, default=_to_json)])
        elif rows:
            cursor = self._connection.cursor()
            cursor.executemany(statement.sql, [statement.parameters(row) for row in rows])


def time_of(value: Any) -> datetime.datetime:
    """A time as it was read: SQLite keeps texts."""
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def _time_to_text(moment: datetime.datetime) -> str:
    """As SQLAlchemy writes it for SQLite, with microseconds always."""
    return moment.isoformat(" ", "microseconds")


def _to_json(value: bytes | datetime.datetime) -> str:
    """As PostgreSQL reads it from a text."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value.isoformat()


def _of_rows(text: str, dialect: sa.Dialect) -> str:
    """PostgreSQL's statement for all rows of an insert at once; empty for what is none."""
    insert = _INSERT.fullmatch(text)
    if insert is None:
        return ""
    table, columns, values, rest = insert.groups()
    types = schema.metadata.tables[table].c
    fields = [
        f"{value[1:]} {types[column].type.compile(dialect)}"
        for value, column in zip(values.split(", "), columns.split(", "), strict=True)
        if value.startswith(":")
    ]
    return (
        f"INSERT INTO {table} ({columns}) SELECT {values.replace(':', '')} "
        f"FROM json_to_recordset(%s::json) AS given ({', '.join(fields)}){rest}"
    )
