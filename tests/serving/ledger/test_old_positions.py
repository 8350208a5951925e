"""A ledger from before entries had positions in the month goes on from where it was."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from serving.billing.audit import audit
from serving.billing.invoice import make_invoice
from serving.ledger import Entry, Ledger, Reservation, schema
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import open_database, writing
from serving.ledger.upgrade import _MIGRATIONS, upgrade
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import usage
from tests.serving.ledger.month_prices import BOOK, PRICING
from tests.serving.ledger.standing_clock import Clock


@pytest.fixture
def old_engine(database_url: str) -> Iterator[sa.Engine]:
    """A database as it was before there were positions, with two charges and a reversal."""
    engine = open_database(database_url)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    columns = [sa.column(c.name, c.type) for c in schema.entries.c if c.name not in NEW]
    old = sa.table("entries", *columns)
    with writing(engine) as connection:
        config.attributes.update(connection=connection, metadata=schema.metadata)
        command.upgrade(config, "0003")
        previous = FIRST_HASH
        for number, kind, month, sign in (
            (1, "charge", "2026-10", 1),
            (2, "charge", "2026-11", 1),
            (3, "reversal", "2026-10", -1),
        ):
            entry = Entry(
                "acme", number, cast(Any, kind), f"old-{min(number, 4 - number)}", "0" * 64,
                "summarizer", "7", "f", 1, sign * 120, 0, sign * 30, "stop", 5, sign * 92,
                "EUR", "2026-volume", "", datetime.datetime(2026, 11, number), previous, "",
                schema_version=1,
            )  # fmt: skip
            previous = entry_hash(entry)
            entry = replace(entry, hash=previous)
            if kind == "charge":
                connection.execute(
                    schema.requests.insert().values(
                        request_id=entry.request_id, tenant="acme", request_hash="0" * 64,
                        state="settled", month=month, reserved_micro=92, owner="g",
                        created_at=entry.created_at,
                    )
                )  # fmt: skip
                spent = 92 if number == 2 else 0
                connection.execute(
                    sa.text("INSERT INTO accounts VALUES ('acme', :month, :spent, 0)"),
                    {"month": month, "spent": spent},
                )
            values = {name: getattr(entry, name) for name in old.c.keys()}  # noqa: SIM118
            connection.execute(old.insert().values(values))
        connection.execute(
            schema.chains.insert().values(tenant="acme", number=3, hash=previous)
        )
    yield engine
    engine.dispose()


NEW = (
    "schema_version",
    "month",
    "input_tokens_before",
    "cached_tokens_before",
    "output_tokens_before",
    "parts",
    "work_hash",
    "made_by",
    "code",
)


def test_a_ledger_that_was_there_before(old_engine: sa.Engine, clock: Clock) -> None:
    """Its chain holds, its months go on where they were, and its entries can be reversed."""
    upgrade(old_engine)
    assert verify(old_engine) == (3, [])
    # 120 * 333 + 30 * 1750 = 92,460 thousandths, rounded once: as they were charged.
    assert audit(old_engine, BOOK) == (3, [])
    ledger = Ledger(old_engine, "gateway-0", clock)
    ledger.reserve(Reservation("new", "acme", 1000, "0" * 64))
    entry = ledger.settle("new", usage(), PRICING, b"")
    assert (entry.number, entry.schema_version, entry.month) == (4, 3, "2026-11")
    assert (entry.input_tokens_before, entry.output_tokens_before) == (120, 30)
    back = ledger.reverse("acme", 2, "a wrong text", "pat")
    assert (back.schema_version, back.made_by) == (3, "pat")
    assert (back.month, back.amount_micro, back.parts) == ("2026-11", -92, "[]")
    assert verify(old_engine) == (5, [])
    assert audit(old_engine, BOOK) == (5, [])
    lines = make_invoice(old_engine, "acme", "2026-11").lines
    assert [(line.kind, line.month, line.meter, line.amount_micro) for line in lines] == [
        ("charge", "2026-10", "all", 92),
        ("charge", "2026-11", "input", 0),
        ("charge", "2026-11", "output", 52),
        ("charge", "2026-11", "all", 92),
        ("reversal", "2026-10", "all", -92),
        ("reversal", "2026-11", "all", -92),
    ]
