"""The tables of the ledger's database."""

from __future__ import annotations

import sqlalchemy as sa

from benchmarks.markdown import table
from scripts.documents.reference.text import attribute_meanings, cell, code
from serving.ledger import schema
from serving.ledger.records import Entry

_HEAD = """\
# The ledger's schema

The schema is the same on SQLite and PostgreSQL; `tallygraph gateway` and every command that
opens a ledger migrate an older one to this version. Times are UTC; tokens and money are
integers; money is in millionths of the currency's unit. Read it with any SQL client, but write
to it only with `tallygraph`: entries contain a hash of the one before them, and the database
refuses to change entries, or to delete any that is not archived. The rules: [the ledger's
README](../../serving/ledger/README.md).
"""
# Said here, for a table has no place to say it; a table that is missing here fails the build.
_TABLES = {
    "tenants": "Tenants with their plans and limits; an empty limit means no limit.",
    "api_keys": "API keys of tenants. Only the SHA-256 of a secret is stored.",
    "accounts": "What a tenant has spent and reserved in a calendar month.",
    "month_tokens": "A tenant's tokens of a model in a month, which determine the tier in "
    "which the next request begins.",
    "alert_shares": "At which shares of its month's budget a tenant's spending is alerted of.",
    "chains": "The last entry of each tenant's chain; and its prepaid credit.",
    "daily_usage": "What a tenant's key has used of a model on a day: sums of entries. A key's "
    "budget is checked against its month's.",
    "daily_versions": "What model servers answered and failed at on a day, by version and "
    "error: counts to compare versions by, written every few seconds.",
    "audit_log": "What administrators have changed. Append only.",
    "ended_sessions": "Sessions of the console that were signed out, until they would be over "
    "anyway: at most 9 hours.",
    "leases": "Gateways that run; the counter of one that has died stands still.",
    "requests": "Every admitted request, with the state of its reservation.",
    "answers": "The stored responses for repeated idempotency keys, for a while.",
    "undelivered": "Charged responses that their client may not have got, for a while.",
    "entries": "The ledger itself: charges, reversals, refunds and top-ups. Append only.",
    "archive_files": "Months whose entries are archived, and what their files must be.",
    "archives": "Sections of chains that are archived, and what the entries up to there add up "
    "to. Append only.",
    "archived_usage": "The sums by day of the entries of each archive, to which `daily_usage` "
    "is held. Append only.",
    "archived_keys": "Idempotency keys of requests whose charges are archived: they stay used.",
    "outbox": "Usage events that have not been delivered yet.",
}


def ledger_schema() -> str:
    """The page."""
    page = _HEAD
    for each in schema.metadata.tables.values():
        page += f"\n## {each.name}\n\n{_TABLES[each.name]}\n\n{_columns(each)}"
        for line in _constraints(each):
            page += f"\n- {line}"
        page += "\n"
    return page


def _columns(each: sa.Table) -> str:
    meanings = attribute_meanings(Entry) if each.name == "entries" else {}
    rows = []
    for column in each.columns:
        what = [code(column.type), "primary key" if column.primary_key else ""]
        what += [f"of {key.target_fullname}" for key in column.foreign_keys]
        what += ["may be empty" if column.nullable else ""]
        row = [code(column.name), ", ".join(filter(None, what))]
        rows.append([*row, cell(meanings[column.name])] if meanings else row)
    header = ("column", "type", "meaning") if meanings else ("column", "type")
    return table(header, rows)


def _constraints(each: sa.Table) -> list[str]:
    lines = []
    for constraint in sorted(each.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, sa.UniqueConstraint):
            columns = ", ".join(code(column.name) for column in constraint.columns)
            lines.append(f"unique: {columns}")
        elif isinstance(constraint, sa.CheckConstraint):
            lines.append(f"always: {code(constraint.sqltext)}")
    return lines
