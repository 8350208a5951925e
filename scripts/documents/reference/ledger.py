"""The tables of the ledger's database."""

from __future__ import annotations

import sqlalchemy as sa

from benchmarks.markdown import table
from scripts.documents.reference.text import attribute_meanings, cell, code
from serving.ledger import schema
from serving.ledger.records import Entry

_HEAD = """\
# The ledger's schema

The same on SQLite and PostgreSQL; `tallygraph gateway` and every command that opens a ledger
bring an older one up to date. Times are UTC, tokens and money are integers; money is in
millionths of the currency's unit. Read it with any SQL client; write to it by `tallygraph`
only: entries have a hash of the one before them, and the database refuses to change or delete
one. The rules: [the ledger's README](../../serving/ledger/README.md).
"""
# Said here, for a table has no place to say it; a table that is missing here fails the build.
_TABLES = {
    "tenants": "Who may ask, on which plan and within which limits; an empty limit is none.",
    "api_keys": "Keys of tenants. Of a secret only the SHA-256 is kept.",
    "accounts": "What a tenant has spent and reserved in a calendar month.",
    "month_tokens": "What a tenant has used of a model in a month: where in its tiers the next "
    "request begins.",
    "chains": "The last entry of each tenant's chain.",
    "requests": "Every admitted request, with the state of its reservation.",
    "answers": "What an idempotency key is answered with again.",
    "entries": "The ledger itself: charges and their reversals. Append only.",
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
