"""Makes ``ledger-0009.sqlite``: run it in a checkout of the version that wrote such ledgers.

    git worktree add /tmp/then c2f41c6
    cd /tmp/then && python make_0009.py ledger-0009.sqlite

It uses that version's API, which is not today's: it is kept to show how the file came to be.
"""

# mypy: ignore-errors

from __future__ import annotations

import datetime
import sqlite3
import sys
from pathlib import Path

from serving.gateway.tenants import Limits, Tenants
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade

KEY_FILE = "ledger-0009.key"


class Clock:
    now = datetime.datetime(2026, 10, 31, 23, 59)

    def __call__(self) -> datetime.datetime:
        return self.now


def main(path: Path) -> None:
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    clock = Clock()
    tenants = Tenants(engine, clock)
    tenants.create("acme", "standard", Limits(5_000_000, 60, None, 4))
    tenants.create("beta", "standard")
    keys = [tenants.make_key("acme"), tenants.make_key("acme", ["summarizer"])]
    tenants.revoke_key(keys[1].split("_")[1])
    path.with_name(KEY_FILE).write_text("\n".join(keys) + "\n")
    ledger = Ledger(engine, "gateway-0", clock)

    def ask(request_id: str, tenant: str, key: str | None = None) -> None:
        ledger.reserve(
            Reservation(request_id, tenant, 1000, f"{len(request_id):064x}", None, key)
        )

    def settle(request_id: str, model: str = "summarizer", amount: int = 700) -> None:
        usage = Usage(model, "7", "f" * 64, 1, 120, 20, 30, "stop", 41)
        ledger.settle(request_id, usage, Charge(amount, "EUR", "2026"), b"{}")

    # Of October, and written in November.
    ask("late", "acme")
    clock.now = datetime.datetime(2026, 11, 1, 0, 0, 1)
    settle("late")
    for number, model in enumerate(("summarizer", "summarizer", "other")):
        ask(f"request-{number}", "acme", f"order-{number}")
        settle(f"request-{number}", model)
    clock.now = datetime.datetime(2026, 11, 3, 12)
    ask("beta-1", "beta")
    settle("beta-1", amount=5)
    ledger.reverse("acme", 2, "a wrong text", "somebody")
    ask("open", "acme")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("VACUUM")
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
