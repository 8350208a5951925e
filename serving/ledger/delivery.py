"""Delivers usage events while a process serves; see `serving.ledger.outbox`."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from serving.ledger.leases import Lease
from serving.ledger.outbox import DeliveryError, Sink, deliver

_LOG = logging.getLogger(__name__)

EVERY_S: Final = 1.0
"""How often it is asked whether an event waits."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class EventDelivery:
    """A thread that delivers what waits. After a failure it pauses, twice as long after each
    further one, and by chance a part of that only: so that gateways do not all ask a receiver
    at once that comes back."""

    def __init__(
        self,
        engine: sa.Engine,
        lease: Lease,
        sink: Sink,
        told: Callable[[int, bool], object] = lambda delivered, failed: None,
        every_s: float = EVERY_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """
        Args:
          lease: of this process.
          told: how many events were delivered, and whether the delivery failed then.
          every_s: how often the database is asked.
          first_pause_s: after a failure, at most.
        """
        self._engine = engine
        self._lease = lease
        self._sink = sink
        self._told = told
        self._every_s = every_s
        self._first_pause_s = first_pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the batch that is on its way; call it before the lease is ended."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while not self._over.is_set():
            if self._deliver():
                pause_s = self._first_pause_s
                self._over.wait(self._every_s)
            else:
                self._over.wait(random.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _deliver(self) -> bool:
        """Whether all that waited is delivered."""
        delivered = 0

        def sink(events: Sequence[str]) -> None:
            nonlocal delivered
            self._sink(events)
            delivered += len(events)

        try:
            deliver(self._engine, sink, self._lease, lambda: not self._over.is_set())
        except (DeliveryError, sa.exc.SQLAlchemyError) as error:
            _LOG.warning("Events could not be delivered: %s", error)
        except Exception:
            _LOG.exception("Events could not be delivered")
        else:
            self._told(delivered, False)
            return True
        self._told(delivered, True)
        return False
