"""Clients that hang up, at every stage of a request, politely or not.

The written policy (`serving.gateway.service`): once the model has been asked, the request is
charged and its answer kept; before, it costs nothing. Nothing stays reserved, no task stays.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import open_database
from tests.serving.gateway.at_once import request_bytes
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import RunningGateway, gateway_on
from tests.support.waiting import wait_until

Hang = Callable[[socket.socket], None]

# Four words of it are more than the sockets in between can hold.
LONG = " ".join(letter * 240_000 for letter in "abcd")


@pytest.fixture(scope="module")
def one_for_all(
    tmp_path_factory: pytest.TempPathFactory, shared_gate: GatedProxy, metered_models: Path
) -> Iterator[RunningGateway]:
    """It does not look at the model server by itself: no task of its own comes and goes."""
    folder = tmp_path_factory.mktemp("disconnects")
    engine = open_database(sqlite_ledger(folder))
    with gateway_on(
        engine, folder, metered_models, [shared_gate.url], poll_every_s=3600
    ) as running:
        yield running
    engine.dispose()


@pytest.fixture
def stack(gate: GatedProxy, one_for_all: RunningGateway) -> RunningGateway:
    one_for_all.poll()
    return one_for_all.for_one_test()


def politely(connection: socket.socket) -> None:
    connection.close()


def by_a_reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ways = pytest.mark.parametrize("hang_up", [politely, by_a_reset])


def chat(text: str, stream: bool) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "summarizer", "messages": messages, "stream": stream}


REQUESTS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "summaries": ("/v1/summaries", lambda text: {"model": "summarizer", "text": text}),
    "chat": ("/v1/chat/completions", lambda text: chat(text, False)),
    "stream": ("/v1/chat/completions", lambda text: chat(text, True)),
}
kinds = pytest.mark.parametrize("kind", REQUESTS)


def whole(kind: str, key: str, text: str) -> bytes:
    path, body = REQUESTS[kind]
    return request_bytes(key, body(text), "k", path)


def connect(stack: RunningGateway) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", stack.port))
    return connection


def at_rest(stack: RunningGateway) -> tuple[str, int]:
    """A key, and how many tasks the gateway has when nothing is asked of it."""
    key = stack.key()
    assert stack.admin("/readyz").status_code == 200
    wait_until(lambda: stack.connections() == 0, "the end of all connections")
    return key, stack.tasks()


def wait_until_heard(stack: RunningGateway, key: str) -> None:
    """Return when the gateway knows of all that was sent to it before, and of what was hung up.

    Connections are taken in the order in which they were made.
    """
    for _ in range(2):
        with stack.client(key) as client:
            assert client.get("/healthz").status_code == 200
    wait_until(lambda: stack.connections() == 0, "the end of all connections")


def hold_charged_once(
    stack: RunningGateway, gate: GatedProxy, kind: str, key: str, text: str
) -> None:
    """The answer is kept: who asks again by the key gets it, and pays no more."""
    stack.wait_until_settled(1)
    path, body = REQUESTS[kind]
    with stack.client(key) as client:
        headers = {"Idempotency-Key": "k"}
        content = orjson.dumps(body(text))
        answers = [client.post(path, content=content, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        usage = client.get("/v1/usage").json()
    assert (usage["entries"], usage["reserved_micro"]) == (1, 0)
    assert gate.questions == 1
    (entry,) = stack.entries()
    with stack.engine.connect() as connection:
        columns = schema.answers.c
        kept = connection.scalar(
            sa.select(columns.answer).where(columns.request_id == entry.request_id)
        )
    if kind != "stream":
        assert kept == answers[0].content
    assert stack.verify() == (1, [])


@ways
@kinds
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_before_the_request_is_whole(
    stack: RunningGateway, gate: GatedProxy, kind: str, hang_up: Hang, share: float
) -> None:
    key, tasks = at_rest(stack)
    request = whole(kind, key, "one two")
    connection = connect(stack)
    connection.sendall(request[: int(len(request) * share)])
    if b"\r\n\r\n" in request[: int(len(request) * share)]:
        wait_until(lambda: stack.tasks() > tasks, "a task that reads the body")
    else:
        wait_until(lambda: stack.connections() == 1, "the connection")
    hang_up(connection)
    wait_until_heard(stack, key)
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")
    assert (stack.states(), stack.reserved_micro(), gate.questions) == ({}, 0, 0)
    # It is the client's doing: no fault of the gateway is counted.
    assert 'status="500"' not in stack.metrics()


@ways
@kinds
def test_while_the_model_computes(
    stack: RunningGateway, gate: GatedProxy, kind: str, hang_up: Hang
) -> None:
    key, tasks = at_rest(stack)
    gate.shut()
    connection = connect(stack)
    connection.sendall(whole(kind, key, "one two"))
    gate.wait_for_questions(1)
    assert stack.states() == {"reserved": 1}
    hang_up(connection)
    wait_until(lambda: stack.connections() == 0, "the end of all connections")
    assert stack.states() == {"reserved": 1}
    gate.open()
    hold_charged_once(stack, gate, kind, key, "one two")
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")


@ways
@kinds
def test_while_the_model_computes_in_vain(
    stack: RunningGateway, gate: GatedProxy, kind: str, hang_up: Hang
) -> None:
    """Where no answer comes of it, nobody pays."""
    key, tasks = at_rest(stack)
    gate.shut()
    connection = connect(stack)
    connection.sendall(whole(kind, key, "one two"))
    gate.wait_for_questions(1)
    hang_up(connection)
    wait_until(lambda: stack.connections() == 0, "the end of all connections")
    gate.open_broken()
    stack.wait_for_states({"released": 1})
    assert stack.reserved_micro() == 0
    assert stack.verify() == (0, [])
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")


@ways
@kinds
def test_while_the_answer_is_written(
    stack: RunningGateway, gate: GatedProxy, kind: str, hang_up: Hang
) -> None:
    key, tasks = at_rest(stack)
    connection = connect(stack)
    connection.sendall(whole(kind, key, LONG))
    assert connection.recv(12) == b"HTTP/1.1 200"
    # It cannot have been written whole: so much fits in no buffer.
    hang_up(connection)
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")
    hold_charged_once(stack, gate, kind, key, LONG)


@ways
@kinds
def test_after_the_request_at_any_moment(
    stack: RunningGateway, gate: GatedProxy, kind: str, hang_up: Hang
) -> None:
    """Whatever it was doing: each request is charged whole or not at all, and ends."""
    key, tasks = at_rest(stack)
    path, body = REQUESTS[kind]
    for step in range(25):
        connection = connect(stack)
        connection.sendall(request_bytes(key, body("one two"), f"k{step}", path))
        time.sleep(step * 0.001)
        hang_up(connection)
    wait_until_heard(stack, key)
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")
    states = stack.states()
    assert set(states) <= {"settled"}
    assert gate.questions == states.get("settled", 0)
    assert stack.reserved_micro() == 0
    assert stack.verify() == (states.get("settled", 0), [])


def status(client: httpx.Client) -> int:
    return client.get("/v1/models").status_code


def test_bodies_that_never_end_keep_nobody_else_out(stack: RunningGateway) -> None:
    """Their tenant has no place left until they hang up; another one has."""
    key, tasks = at_rest(stack)
    request = whole("summaries", key, "one two")
    connections = [connect(stack) for _ in range(300)]
    for connection in connections:
        connection.sendall(request[:-1])
    with stack.client(key) as client, stack.client(stack.key("other")) as other:
        wait_until(lambda: status(client) == 503, "a tenant without a place")
        # For a moment, those that are not yet known to be of that tenant take all places.
        wait_until(lambda: status(other) == 200, "a place for another")
        for _ in range(10):
            assert client.get("/v1/models").json()["error"]["code"] == "overloaded"
            assert other.get("/v1/models").status_code == 200
        for connection in connections:
            connection.close()
        wait_until(lambda: status(client) == 200, "a place again")
    wait_until(lambda: stack.tasks() == tasks, "the end of all tasks")
    assert stack.states() == {}
