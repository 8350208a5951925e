"""What the console and a scrape ask for is found by an index, however large the tables are."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import sqlalchemy as sa

from serving.gateway.administration.entries import read_entries
from serving.gateway.administration.health import read_health
from serving.gateway.administration.overview import days_of_tenant, read_overview
from serving.gateway.ops import ledger_lag
from serving.gateway.ops.ledger_lag import LedgerLag
from serving.ledger import schema

LARGE: Final = ("entries", "requests", "outbox", "daily_usage", "audit_log", "accounts")
"""Tables that grow with use."""


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_no_large_table_is_read_whole(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite says how it goes about a query, whatever is in its tables."""
    monkeypatch.setattr(ledger_lag, "MAX_COUNTED", 1)
    with engine.begin() as connection:
        connection.execute(schema.outbox.insert(), [{"event": '{"time": "2026-11-10"}'}])
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    list(LedgerLag(engine).collect())
    read_health(engine)
    read_overview(engine, "2026-11", "2026-11-01")
    days_of_tenant(engine, "acme", "2026-11-01")
    read_entries(engine, "acme", 50)
    sa.event.remove(engine, "before_cursor_execute", note)
    queries = [each for each in asked if each[0].lstrip().startswith("SELECT")]
    assert len(queries) >= 15
    with engine.connect() as connection:
        for statement, values in queries:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            scanned = {
                table
                for row in plan
                if (table := re.sub(r"SCAN (\w+).*", r"\1", row.detail)) in LARGE
            }
            # Up to a limit, the rows that come first.
            assert not scanned or "LIMIT" in statement, (statement, scanned)
