"""Leases: what a process reserves is its own as long as it renews its lease.

A lease is a row with a counter that its process raises. No clock is compared with another: who
watches a lease measures, by its own monotonic clock, how long the counter has stood still, and
counts only time in which it could read the database without a gap. So clocks that are set, that
differ between machines or between a database and its replica end no lease; nor does an outage
of the database, in which nobody can renew.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from serving.ledger.clock import utc_now
from serving.ledger.database import reading, writing
from serving.ledger.schema import leases

LEASE_S: Final = 30.0
"""Within so long after its process has ended, a lease's reservations are released."""

RENEWALS: Final = 6
"""Times that a lease is renewed, and watched, in its time."""

_MISSED: Final = 3
"""Renewals that are missed by a lease that has ended."""


class Lease:
    """The identity of a process in the ledger. Safe for use by many threads."""

    def __init__(
        self,
        engine: sa.Engine,
        label: str,
        lease_s: float = LEASE_S,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          label: for people who read logs; it need not be unique.
          lease_s: its reservations are released within so long after the process has ended.
          timer: seconds, monotonic.

        Raises:
          ValueError: the time is not positive.
        """
        if not lease_s > 0:
            raise ValueError(f"The time of a lease must be positive. Received: {lease_s} s")
        self.label = label
        self.lease_s = lease_s
        self._engine = engine
        self._timer = timer
        self._lock = threading.Lock()
        self._id = ""
        self._sure_until = float("-inf")

    @property
    def id(self) -> str:
        """The identity; empty before the lease has begun. Another one after it was lost."""
        return self._id

    @property
    def every_s(self) -> float:
        """How often it is to be renewed."""
        return self.lease_s / RENEWALS

    def renew(self) -> bool:
        """Begin the lease, or renew it; where it is lost, begin another one.

        Returns:
          False: it was lost. What was reserved under it is released, or will be.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
        """
        with self._lock:
            now = self._timer()
            with writing(self._engine) as connection:
                renewed = connection.execute(
                    leases.update()
                    .where(leases.c.lease_id == self._id)
                    .values(renewals=leases.c.renewals + 1)
                ).rowcount
                known = self._id if renewed else uuid.uuid4().hex
                if not renewed:
                    connection.execute(
                        leases.insert().values(
                            lease_id=known,
                            label=self.label,
                            renewals=0,
                            lease_ms=round(1000 * self.lease_s),
                            started_at=utc_now(),
                        )
                    )
            lost = bool(self._id) and not renewed
            self._id = known
            self._sure_until = now + _MISSED * self.every_s
            return not lost

    def assure(self) -> None:
        """Renew the lease where it may be lost: the process may have been stopped for long.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
        """
        if self._timer() > self._sure_until:
            self.renew()

    def end(self) -> None:
        """Give the lease up. What is still reserved under it is released by `recovery`."""
        with self._lock, writing(self._engine) as connection:
            connection.execute(leases.delete().where(leases.c.lease_id == self._id))
            self._id, self._sure_until = "", float("-inf")


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A lease as it was read.

    Attributes:
      renewals: its counter.
      since: when the counter was first read so; by the watcher's timer.
    """

    lease_id: str
    label: str
    renewals: int
    lease_s: float
    since: float

    @property
    def ends_after_s(self) -> float:
        """For how long the counter of a lease that has ended stands still."""
        return _MISSED * self.lease_s / RENEWALS


class LeaseWatch:
    """Finds leases that have ended. For one thread."""

    def __init__(self, engine: sa.Engine, timer: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
          timer: seconds, monotonic.
        """
        self._engine = engine
        self._timer = timer
        self._seen: dict[str, SeenLease] = {}
        self._read_at = float("-inf")

    def seen(self) -> tuple[SeenLease, ...]:
        """The leases of the last look."""
        return tuple(self._seen.values())

    def ended(self) -> list[SeenLease]:
        """Look at all leases; call it at least `RENEWALS` times in a lease's time.

        Returns:
          Those whose counters have stood still too long.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
        """
        began = self._timer()
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(leases)).all()
        read_at, last = self._timer(), self._read_at
        self._read_at = read_at
        now = {}
        for row in rows:
            lease = SeenLease(
                row.lease_id, row.label, row.renewals, row.lease_ms / 1000, read_at
            )
            before = self._seen.get(row.lease_id)
            # In a gap nobody may have been able to renew: what was seen before it says nothing.
            unbroken = began - last < lease.ends_after_s
            if before is not None and before.renewals == lease.renewals and unbroken:
                lease = before
            now[row.lease_id] = lease
        self._seen = now
        return [each for each in now.values() if began - each.since >= each.ends_after_s]

    def take_away(self, lease: SeenLease) -> bool:
        """End a lease for its process, unless that renews it at this very moment.

        Returns:
          Whether it has ended by this.
        """
        with writing(self._engine) as connection:
            ended = leases.delete().where(
                leases.c.lease_id == lease.lease_id, leases.c.renewals == lease.renewals
            )
            return bool(connection.execute(ended).rowcount)
