"""A ledger on a small disk, which is filled and emptied: run in a mount namespace of its own.

    python full_disk_process.py FOLDER

Prints what happened as JSON, for the test.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import sqlalchemy as sa

from serving.gateway.ledger_outages import is_outage
from serving.gateway.ledger_port import GatewayLedger
from serving.ledger import Ledger, Reservation, schema
from serving.ledger.group_commit import GroupCommit
from serving.ledger.leases import Lease
from serving.ledger.opening import open_ledger
from serving.ledger.probe import WriteProbe
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage


def main(folder: Path) -> None:
    engine = open_ledger(f"sqlite:///{folder}/ledger.sqlite", create=True)
    lease = Lease(engine, "gateway-0")
    lease.renew()
    ledger = Ledger(engine, lease)
    told = asyncio.run(locked_out(ledger, lambda: fill(engine, folder)))
    checked, findings = verify(engine)
    print(json.dumps([told, checked, list(map(str, findings))]))


async def locked_out(ledger: Ledger, break_it: Callable[[], Callable[[], None]]) -> list[str]:
    """A tenant with one request at a time, whose database cannot be written when its request is
    to be settled; then it can.

    Args:
      break_it: sees to that; what it returns makes it well again.

    Returns:
      What became of the charge, of two write probes and of the reservation while it was broken,
      and of the next request.
    """
    told = list[str]()
    async with aclosing(GroupCommit(ledger)) as group:
        probe = WriteProbe(ledger.engine, every_s=0)

        async def reserve(request_id: str) -> None:
            asked = Reservation(request_id, "acme", 10, "0" * 64, max_concurrent=1)
            await group.reserve(asked)

        await reserve("first")
        probe.check()
        mend = break_it()
        told.append(await failed(lambda: group.settle("first", usage(), charge(1), b"")))
        told.append(await failed(lambda: asyncio.to_thread(probe.check)))
        told.append(await failed(lambda: asyncio.to_thread(ledger.check_writable)))
        await GatewayLedger(group).release("first")
        told.append(state(ledger.engine, "first"))
        mend()
        while state(ledger.engine, "first") != "released":
            await asyncio.sleep(0.01)
        probe.check()
        await reserve("second")
        await group.settle("second", usage(), charge(1), b"")
        told.append(state(ledger.engine, "second"))
        return told


async def failed(do: Callable[[], Awaitable[object]]) -> str:
    try:
        await do()
    except sa.exc.SQLAlchemyError as error:
        return "outage" if is_outage(error) else repr(error)
    return "it was written"


def state(engine: sa.Engine, request_id: str) -> str:
    requests = schema.requests.c
    with engine.connect() as connection:
        query = sa.select(requests.state).where(requests.request_id == request_id)
        return str(connection.scalar(query))


def fill(engine: sa.Engine, folder: Path) -> Callable[[], None]:
    """Leave no room on the disk, and none in the log."""
    with engine.connect() as connection:
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    return ballast.unlink


if __name__ == "__main__":
    main(Path(sys.argv[1]))
