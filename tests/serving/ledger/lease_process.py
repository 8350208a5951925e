"""A gateway's ledger as a process of its own: reserves and settles as it is told, line by line.

python lease_process.py DATABASE_URL LABEL LEASE_S
"""

from __future__ import annotations

import json
import sys

from serving.ledger import Ledger, LedgerError, Reservation
from serving.ledger.leases import Lease
from serving.ledger.opening import open_ledger
from serving.ledger.recovery import LeaseKeeper
from tests.serving.ledger.ledger_values import charge, usage


def main(url: str, label: str, lease_s: float) -> None:
    engine = open_ledger(url)
    lease = Lease(engine, label, lease_s)
    lease.renew()
    ledger = Ledger(engine, lease)
    keeper = LeaseKeeper(ledger, lease)
    keeper.start()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        do, request_id = json.loads(line)
        told = lease.id
        try:
            if do == "reserve":
                ledger.reserve(
                    Reservation(request_id, "acme", 1000, "0" * 64, 3000, request_id, 3)
                )
                told = lease.id
            elif do == "ask":
                # The same of all processes, without a key.
                reserved = ledger.reserve(
                    Reservation(request_id, "beta", 1000, "0" * 64, route="summaries")
                )
                told = f"{type(reserved).__name__} {reserved.request_id}"
            elif do == "release":
                ledger.release(request_id)
            elif do == "delivered":
                ledger.delivered(request_id)
            else:
                ledger.settle(request_id, usage(), charge(), b"an answer")
        except LedgerError as error:
            told = type(error).__name__
        print(json.dumps(told), flush=True)
    keeper.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
