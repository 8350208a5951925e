"""Makes ``ledger-0004.sqlite``: run it in a checkout of the version that wrote such ledgers.

    git worktree add /tmp/then f0ebb89
    cd /tmp/then && python make_0004.py ledger-0004.sqlite

It uses that version's API, which is not today's: it is kept to show how the file came to be.
"""

# mypy: ignore-errors

from __future__ import annotations

import datetime
import sqlite3
import sys
from pathlib import Path

from serving.billing import Price, PriceBook, Tier
from serving.gateway.tenants import Limits, Tenants
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

PRICE = Price(
    "2026-volume",
    datetime.date(2026, 1, 1),
    "summarizer",
    "standard",
    333,
    111,
    1750,
    free_input_tokens=100,
    input_tiers=(Tier(200, 250),),
)
USAGE = Usage("summarizer", "7", "f" * 64, 1, 120, 0, 30, "stop", 41)


class Clock:
    now = datetime.datetime(2026, 10, 30, 12)

    def __call__(self) -> datetime.datetime:
        return self.now


def main(path: Path) -> None:
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    clock = Clock()
    tenants = Tenants(engine, clock)
    tenants.create("acme", "standard", Limits(5_000_000, 60, None, 4))
    tenants.create("beta", "standard")
    tenants.create("quiet", "standard")
    for tenant in ("acme", "acme", "beta"):
        tenants.make_key(tenant)
    ledger = Ledger(engine, "gateway-0", clock)
    pricing = PriceBook("EUR", (PRICE,)).pricing(PRICE)

    def ask(request_id: str, tenant: str, key: str | None = None) -> None:
        ledger.reserve(
            Reservation(request_id, tenant, 1000, f"{len(request_id):064x}", None, key)
        )

    def settle(request_id: str, charge: object = pricing) -> None:
        ledger.settle(request_id, USAGE, charge, f'{{"id":"{request_id}"}}'.encode())

    ask("october", "acme", "order-1")
    settle("october")
    clock.now = datetime.datetime(2026, 11, 2, 12)
    ask("keyed", "acme", "order-2")
    settle("keyed")
    ask("unkeyed", "acme")
    settle("unkeyed")
    ask("whole", "beta")
    settle("whole", Charge(700, "EUR", "2026-whole"))
    ask("released", "beta", "order-3")
    ledger.release("released")
    ask("open", "acme", "order-4")
    ask("open-too", "beta")
    clock.now = datetime.datetime(2026, 11, 3, 12)
    ledger.reverse("acme", 3, "a wrong text")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
