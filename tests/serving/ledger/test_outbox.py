"""Usage events arrive at least once, each with the same id; of one process, in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import Ledger, Reservation, schema
from serving.ledger.delivery import EventDelivery
from serving.ledger.leases import Lease
from serving.ledger.outbox import BATCH, DeliveryError, deliver, to_file, to_http, waiting
from tests.serving.ledger.ledger_values import charge, usage
from tests.support.waiting import wait_until

Fill = Callable[[int], None]


@pytest.fixture
def fill(ledger: Ledger, reservation: Callable[..., Reservation]) -> Fill:
    def fill(count: int) -> None:
        for _ in range(count):
            request = reservation()
            ledger.reserve(request)
            ledger.settle(request.request_id, usage(), charge(700), b"")

    return fill


class Receiver(HTTPServer):
    """Takes events over HTTP; its first answers may be told to be errors."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = list(statuses)
        self.bodies: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/api/v1/events"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        self.server.headers.append(dict(self.headers))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def test_events_are_appended_to_a_file(
    engine: sa.Engine, ledger: Ledger, fill: Fill, tmp_path: Path
) -> None:
    fill(2)
    ledger.reverse("acme", 1, "a test", "pat")
    assert waiting(engine) == 3
    assert deliver(engine, to_file(tmp_path / "events.jsonl")) == 3
    assert (waiting(engine), deliver(engine, to_file(tmp_path / "events.jsonl"))) == (0, 0)
    first, _, third = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert first == {
        "specversion": "1.0",
        "id": "request-1/charge",
        "source": "tallygraph/ledger",
        "type": "tallygraph.usage",
        "subject": "acme",
        "time": "2026-11-25T12:00:00+00:00",
        "datacontenttype": "application/json",
        "data": {
            "kind": "charge",
            "request_id": "request-1",
            "entry": 1,
            "model": "summarizer",
            "model_version": "1764037200",
            "tokenizer_fingerprint": "f" * 64,
            "input_tokens": 120,
            "cached_tokens": 0,
            "output_tokens": 30,
            "total_tokens": 150,
            "amount_micro": 700,
            "currency": "EUR",
        },
    }
    assert (third["id"], third["data"]["amount_micro"]) == ("request-1/reversal", -700)


def test_half_of_a_line_takes_no_event_with_it(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    fill(1)
    file = tmp_path / "events.jsonl"
    file.write_text('{"specversion":"1.0","id":"req')
    deliver(engine, to_file(file))
    half, whole = file.read_text().splitlines()
    assert (half[-3:], json.loads(whole)["id"]) == ("req", "request-1/charge")


def test_events_are_posted_in_batches(
    engine: sa.Engine, fill: Fill, receiver: Receiver
) -> None:
    fill(BATCH + 5)
    assert deliver(engine, to_http(receiver.url, "secret")) == BATCH + 5
    assert [len(body) for body in receiver.bodies] == [BATCH, 5]
    ids = [event["id"] for body in receiver.bodies for event in body]
    assert ids == [f"request-{number}/charge" for number in range(1, BATCH + 6)]
    assert receiver.headers[0]["Content-Type"] == "application/cloudevents-batch+json"
    assert receiver.headers[0]["Authorization"] == "Bearer secret"


def test_what_is_not_taken_is_kept_and_sent_again(
    engine: sa.Engine, fill: Fill, receiver: Receiver
) -> None:
    fill(3)
    receiver.statuses = [500]
    with pytest.raises(DeliveryError, match="did not accept the events: HTTP 500"):
        deliver(engine, to_http(receiver.url))
    assert waiting(engine) == 3
    assert deliver(engine, to_http(receiver.url)) == 3
    assert receiver.bodies[0] == receiver.bodies[1]


def test_nobody_is_there(engine: sa.Engine, fill: Fill, tmp_path: Path) -> None:
    fill(1)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        deliver(engine, to_http("http://127.0.0.1:1/events"))
    with pytest.raises(DeliveryError, match="Cannot append to"):
        deliver(engine, to_file(tmp_path))
    assert waiting(engine) == 1


def lease(engine: sa.Engine, label: str) -> Lease:
    made = Lease(engine, label)
    made.renew()
    return made


def holders(engine: sa.Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(schema.outbox.c.holder)))


def test_what_another_one_is_sending_is_not_sent_twice(engine: sa.Engine, fill: Fill) -> None:
    """It takes what is left; what was not taken from the other one is free again."""
    fill(BATCH + 7)
    one, other = lease(engine, "one"), lease(engine, "other")
    meanwhile: list[str] = []

    def refuse(events: Sequence[str]) -> None:
        assert len(events) == BATCH
        assert deliver(engine, meanwhile.extend, other) == 7
        assert holders(engine) == [one.id] * BATCH
        raise DeliveryError("no")

    with pytest.raises(DeliveryError):
        deliver(engine, refuse, one)
    assert len(meanwhile) == 7
    assert holders(engine) == [None] * BATCH
    assert deliver(engine, meanwhile.extend, other) == BATCH
    assert len(set(meanwhile)) == BATCH + 7


def test_what_a_process_had_claimed_that_died_is_delivered_by_another_one(
    engine: sa.Engine, fill: Fill
) -> None:
    fill(3)
    dead, living = lease(engine, "dead"), lease(engine, "living")
    with engine.begin() as connection:
        connection.execute(schema.outbox.update().values(holder=dead.id))
    got: list[str] = []
    assert deliver(engine, got.extend, living) == 0
    dead.end()
    assert deliver(engine, got.extend, living) == 3


def test_several_gateways_share_the_work(
    engine: sa.Engine, fill: Fill, receiver: Receiver
) -> None:
    """Each event is sent once, for nobody dies; and what is written meanwhile, too."""
    fill(30)
    leases = [lease(engine, f"gateway-{number}") for number in range(3)]
    deliveries = [
        EventDelivery(engine, each, to_http(receiver.url), every_s=0.01) for each in leases
    ]
    for each in deliveries:
        each.start()
    fill(30)
    wait_until(lambda: waiting(engine) == 0, "all events to be delivered")
    for each in deliveries:
        each.stop()
    ids = [event["id"] for body in receiver.bodies for event in body]
    assert sorted(ids) == sorted(f"request-{number}/charge" for number in range(1, 61))


def test_a_receiver_that_fails_is_asked_again_later(
    engine: sa.Engine, fill: Fill, receiver: Receiver
) -> None:
    fill(2)
    receiver.statuses = [503, 500]
    told: list[tuple[int, bool]] = []
    delivery = EventDelivery(
        engine,
        lease(engine, "gateway"),
        to_http(receiver.url),
        lambda *what: told.append(what),
        first_pause_s=0.01,
    )
    delivery.start()
    wait_until(lambda: waiting(engine) == 0, "the events to be delivered")
    delivery.stop()
    assert told[:3] == [(0, True), (0, True), (2, False)]
    assert [len(body) for body in receiver.bodies] == [2, 2, 2]
