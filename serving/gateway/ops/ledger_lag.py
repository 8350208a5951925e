"""How far the ledger is behind: what is reserved and not settled, what is not delivered."""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.ledger import schema
from serving.ledger.clock import Clock, utc_now
from serving.ledger.database import reading
from serving.ledger.schema import RESERVED

SAMPLE_S: Final = 5.0
"""However often it is scraped, the database is asked no more often."""

MAX_COUNTED: Final = 10_000
"""More than so many are not counted: a scrape must not read a table of millions."""

STALE_S: Final = 300.0
"""A reservation that is older belongs to no request that is under way."""


@dataclass(frozen=True, slots=True)
class Lag:
    """
    Attributes:
      reservations, stale: how many are open, and of those older than `STALE_S`;
        `MAX_COUNTED` at most.
      events: how many wait; above `MAX_COUNTED` by their numbers, which may have gaps.
      reservation_age_s, event_age_s: of the oldest; 0 where there is none.
    """

    reservations: int
    stale: int
    reservation_age_s: float
    events: int
    event_age_s: float


class LedgerLag(Collector):
    """Asks the ledger's database when it is scraped."""

    def __init__(
        self, engine: sa.Engine, clock: Clock = utc_now, sample_s: float = SAMPLE_S
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._sample_s = sample_s
        self._sampled_at = float("-inf")
        self._last: Lag | None = None
        self._lock = threading.Lock()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: what is collected is not asked for when this is registered."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = self._sample()
        yield _gauge(
            "tallygraph_ledger_up", "Whether the ledger could be read", lag is not None
        )
        if lag is None:
            return
        yield _gauge(
            "tallygraph_ledger_reservations_open",
            f"Reservations neither settled nor released, counted up to {MAX_COUNTED}",
            lag.reservations,
        )
        yield _gauge(
            "tallygraph_ledger_reservations_stale",
            f"Those of them that are older than {STALE_S:.0f} s",
            lag.stale,
        )
        yield _gauge(
            "tallygraph_ledger_reservation_oldest_seconds",
            "Age of the oldest of them",
            lag.reservation_age_s,
        )
        yield _gauge(
            "tallygraph_outbox_events_waiting",
            "Usage events that have not been delivered; many are estimated, and may be fewer",
            lag.events,
        )
        yield _gauge(
            "tallygraph_outbox_event_oldest_seconds",
            "Age of the oldest of them",
            lag.event_age_s,
        )

    def _sample(self) -> Lag | None:
        with self._lock:
            now = time.monotonic()
            if now >= self._sampled_at + self._sample_s:
                self._sampled_at = now
                try:
                    self._last = self._read()
                except sa.exc.SQLAlchemyError:
                    self._last = None  # the gauge says so
            return self._last

    def _read(self) -> Lag:
        requests, outbox = schema.requests.c, schema.outbox.c
        open_ones = sa.select(requests.created_at).where(requests.state == RESERVED)
        with reading(self._engine) as connection:
            reservations = _count(connection, open_ones)
            oldest = connection.scalar(open_ones.order_by(requests.created_at).limit(1))
            before = self._clock() - datetime.timedelta(seconds=STALE_S)
            stale = _count(connection, open_ones.where(requests.created_at < before))
            events = _count(connection, sa.select(outbox.id))
            if events == MAX_COUNTED:
                # A query for each end: both in one are found by SQLite in no index, but by
                # reading the whole table.
                first = connection.scalar(sa.select(sa.func.min(outbox.id)))
                last = connection.scalar(sa.select(sa.func.max(outbox.id)))
                events = max(events, int(last or 0) - int(first or 0) + 1)
            event = connection.scalar(sa.select(outbox.event).order_by(outbox.id).limit(1))
        written = json.loads(event)["time"] if event else None
        return Lag(
            reservations,
            stale,
            self._age_s(oldest),
            events,
            self._age_s(written and datetime.datetime.fromisoformat(written)),
        )

    def _age_s(self, moment: datetime.datetime | None) -> float:
        if moment is None:
            return 0.0
        return max(0.0, (self._clock() - moment.replace(tzinfo=None)).total_seconds())


def _count(connection: sa.Connection, rows: sa.Select[Any]) -> int:
    counted = sa.select(sa.func.count()).select_from(rows.limit(MAX_COUNTED).subquery())
    return int(connection.execute(counted).scalar_one())


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)
