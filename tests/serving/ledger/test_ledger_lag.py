"""How far the ledger is behind, on both kinds of database."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from serving.gateway.ops.ledger_lag import MAX_COUNTED, LedgerLag
from serving.ledger import Ledger, Reservation, schema


def test_how_far_the_ledger_is_behind(
    engine: sa.Engine, ledger: Ledger, clock: Any, reservation: Callable[..., Reservation]
) -> None:
    lag = LedgerLag(engine, clock, sample_s=0)

    def gauges() -> dict[str, float]:
        return {family.name: family.samples[0].value for family in lag.collect()}

    assert gauges() == {
        "tallygraph_ledger_up": 1,
        "tallygraph_ledger_reservations_open": 0,
        "tallygraph_ledger_reservation_oldest_seconds": 0,
        "tallygraph_ledger_reservations_stale": 0,
        "tallygraph_outbox_events_waiting": 0,
        "tallygraph_outbox_event_oldest_seconds": 0,
    }
    for number in range(3):
        ledger.reserve(reservation(request_id=f"r{number}"))
        clock.now += datetime.timedelta(seconds=10)
    ledger.release("r1")
    with engine.begin() as connection:
        events = [
            {"event": json.dumps({"time": f"2026-11-25T11:59:{second}+00:00"})}
            for second in (30, 40)
        ]
        connection.execute(schema.outbox.insert(), events)
    behind = gauges()
    assert behind["tallygraph_ledger_reservations_open"] == 2
    assert behind["tallygraph_ledger_reservation_oldest_seconds"] == 30
    assert behind["tallygraph_outbox_events_waiting"] == 2
    assert behind["tallygraph_outbox_event_oldest_seconds"] == 60
    with engine.begin() as connection:
        connection.execute(schema.outbox.insert(), [events[0]] * (MAX_COUNTED + 5))
    assert gauges()["tallygraph_outbox_events_waiting"] == 2 + MAX_COUNTED + 5
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE outbox"))
    assert gauges() == {"tallygraph_ledger_up": 0}
    # However often it is scraped.
    seldom = LedgerLag(engine, clock, sample_s=3600)
    assert [family.samples[0].value for family in seldom.collect()] == [0]
    schema.outbox.create(engine)
    assert [family.samples[0].value for family in seldom.collect()] == [0]
    assert gauges()["tallygraph_ledger_up"] == 1
