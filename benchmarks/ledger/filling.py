"""Fills a ledger, by its own operations, as gateways would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import sqlalchemy as sa

from serving.ledger import Charge, ChargePart, Ledger, Reservation, Usage, schema
from serving.ledger.chain import FIRST_HASH
from serving.ledger.clock import utc_now
from serving.ledger.operations import Reserve, Settle

LARGE = "large"
"""The tenant that half of the entries are of, all in this month."""

_A_TRANSACTION = 500
_USAGE = Usage("summarizer", "1764037200", "f" * 64, 1, 120, 0, 30, "stop", 41, "e" * 64)
_PARTS = (ChargePart("input", 1, 120, 1000, 120), ChargePart("output", 1, 30, 4000, 120))
_CHARGE = Charge(240, "EUR", "2026-11/summarizer", _PARTS)


def add_tenants(engine: sa.Engine, count: int) -> list[str]:
    """Add tenants, each with its chain."""
    names = [LARGE, *(f"tenant-{number:06d}" for number in range(count - 1))]
    now = utc_now()
    with engine.begin() as connection:
        connection.execute(
            schema.tenants.insert(),
            [{"name": name, "plan": "standard", "created_at": now} for name in names],
        )
        connection.execute(
            schema.chains.insert(),
            [{"tenant": name, "number": 0, "hash": FIRST_HASH} for name in names],
        )
    return names


def add_entries(
    engine: sa.Engine, names: list[str], count: int, told: Callable[[int], object]
) -> None:
    """Add charges: half of them the large tenant's, the others' in turn.

    Args:
      told: called with the number that there are, now and then.
    """
    ledger = Ledger(engine, "benchmark")
    done = 0
    with engine.connect() as connection:
        requests = _requests(names, count)
        while some := list(islice(requests, _A_TRANSACTION)):
            ledger.write(connection, [Reserve(each) for each in some])
            settled = [Settle(each.request_id, _USAGE, _CHARGE, b"") for each in some]
            ledger.write(connection, settled)
            done += len(some)
            told(done)


def ask_once(ledger: Ledger, request_id: str) -> None:
    """What a request without contention costs the ledger."""
    ledger.reserve(Reservation(request_id, LARGE, 300, "a" * 64, budget_micro=10**15))
    ledger.settle(request_id, _USAGE, _CHARGE, b"")


def _requests(names: list[str], count: int) -> Iterator[Reservation]:
    for number in range(count):
        others = names[1 + number // 2 % (len(names) - 1)]
        tenant = LARGE if number % 2 else others
        yield Reservation(f"{number:032x}", tenant, 300, f"{number:064x}")
