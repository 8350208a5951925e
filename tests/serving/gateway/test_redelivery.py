"""A client that times out and asks again is charged once, and gets the answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import orjson
import pytest
import sqlalchemy as sa

from serving.ledger import schema
from tests.serving.gateway.at_once import request_bytes
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.running_gateway import DEADLINE_S, RunningGateway
from tests.support.waiting import wait_until

BODY: dict[str, Any] = {"model": "summarizer", "text": "one two three"}
PATH = "/v1/summaries"


def post(
    client: httpx.Client, body: dict[str, Any] = BODY, path: str = PATH, **headers: str
) -> httpx.Response:
    return client.post(path, content=orjson.dumps(body), headers=headers)


def waiting_answers(gateway: RunningGateway) -> int:
    """How many answers are for the next identical request, computed or not."""
    columns = schema.undelivered.c
    query = sa.select(sa.func.count()).where(
        columns.tenant.startswith(gateway.prefix, autoescape=True), columns.holder.is_(None)
    )
    with gateway.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def kept_answers(gateway: RunningGateway) -> int:
    columns = schema.undelivered.c
    ours = columns.tenant.startswith(gateway.prefix, autoescape=True)
    query = sa.select(sa.func.count()).where(ours)
    with gateway.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def ask_and_leave(gateway: RunningGateway, gate: GatedProxy, key: str) -> None:
    """Ask, and hang up while the model computes; the gateway knows of it then."""
    asked = gate.questions
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(request_bytes(key, BODY))
        gate.wait_for_questions(asked + 1)
    wait_until(lambda: waiting_answers(gateway) == 1, "an answer for the next request")


@contextmanager
def asked_again(client: httpx.Client) -> Iterator[Future[httpx.Response]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(post, client)


def test_the_next_one_waits_and_is_not_charged(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway
    key = gateway.key()
    gate.shut()
    ask_and_leave(gateway, gate, key)
    with gateway.client(key) as client:
        with asked_again(client) as again:
            gate.open()
            answer = again.result()
        assert answer.status_code == 200
        assert answer.headers["x-redelivered"] == "true"
        (entry,) = gateway.entries()
        assert answer.json()["id"] == entry.request_id
        # Delivered answers belong to nobody else.
        wait_until(lambda: kept_answers(gateway) == 0, "the end of all kept answers")
        third = post(client)
        assert "x-redelivered" not in third.headers
        assert third.json()["id"] != entry.request_id
    assert gate.questions == 2
    assert gateway.verify() == (2, [])


def test_an_answer_that_came_too_late_is_kept(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway
    key = gateway.key()
    gate.shut()
    ask_and_leave(gateway, gate, key)
    gate.open()
    gateway.wait_until_settled(1)
    with gateway.client(key) as client:
        # With a key, by another route, with another body, of another tenant: not theirs.
        others = [
            post(client, BODY, PATH, **{"Idempotency-Key": "k"}),
            post(client, {**BODY, "max_output_tokens": 4}),
            post(client, path="/v1/summaries?again"),
        ]
        with gateway.client(gateway.key("other")) as other:
            others.append(post(other))
        marks = ["x-redelivered" in answer.headers for answer in others]
        assert [answer.status_code for answer in others] == [200] * 4
        # A query is no other route.
        assert marks == [False, False, True, False]
    assert len(gateway.entries()) == 4


def test_whoever_goes_away_again_leaves_it_for_the_next(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway
    key = gateway.key()
    gate.shut()
    ask_and_leave(gateway, gate, key)
    before = gateway.tasks()
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(request_bytes(key, BODY))
        wait_until(
            lambda: gateway.tasks() > before, "the gateway to take up the second request"
        )
    gate.open()
    gateway.wait_until_settled(1)
    wait_until(lambda: waiting_answers(gateway) == 1, "the answer to be free again")
    with gateway.client(key) as client:
        assert post(client).headers["x-redelivered"] == "true"
    assert (len(gateway.entries()), gate.questions) == (1, 1)


def test_where_the_first_fails_the_next_is_computed(
    gated_gateway: RunningGateway, gate: GatedProxy
) -> None:
    gateway = gated_gateway
    key = gateway.key()
    gate.shut()
    ask_and_leave(gateway, gate, key)
    gate.open_broken()
    gateway.wait_for_states({"released": 1})
    gate.open()
    gateway.poll()
    with gateway.client(key) as client:
        answer = post(client)
    assert answer.status_code == 200 and "x-redelivered" not in answer.headers
    assert len(gateway.entries()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_openai_s_client_that_times_out_pays_once(
    gated_gateway: RunningGateway, gate: GatedProxy, stream: bool
) -> None:
    gateway = gated_gateway
    gate.shut()
    with (
        openai.OpenAI(
            base_url=f"{gateway.url}/v1", api_key=gateway.key(), timeout=1.0, max_retries=50
        ) as client,
        ThreadPoolExecutor(1) as pool,
    ):

        def ask() -> str:
            messages = [{"role": "user", "content": "one two three"}]
            answer: Any = client.chat.completions.create(
                model="summarizer",
                messages=messages,  # type: ignore[arg-type]
                stream=stream,
            )
            if not stream:
                return str(answer.choices[0].message.content)
            return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

        asked = pool.submit(ask)
        gate.wait_for_questions(1)
        # It has timed out, and asks again.
        wait_until(lambda: waiting_answers(gateway) == 1, "a client that has gone")
        gate.open()
        assert asked.result(DEADLINE_S) == "ONE TWO THREE"
    assert gate.questions == 1
    assert len(gateway.entries()) == 1
    assert gateway.verify() == (1, [])


def test_whoever_stays_connected_has_its_answer(gateway: RunningGateway) -> None:
    """Also if it never reads it: nothing that reaches the gateway says so. The same request
    over another connection is another one, unless both have the same key.

    So does an asynchronous client that is used on a second event loop: it sends its request,
    whole, over the connection of the first loop, fails before it can read the answer, leaves
    that connection open, and asks again over a new one.
    """
    key = gateway.key()
    with gateway.client(key) as client:
        for charged, idempotency_key in ((1, None), (3, "k")):
            headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
            with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
                connection.sendall(request_bytes(key, BODY, idempotency_key))
                gateway.wait_until_settled(charged)
                wait_until(lambda: kept_answers(gateway) == 0, "a delivered answer")
                again = post(client, BODY, PATH, **headers)
            assert again.status_code == 200
            assert "x-redelivered" not in again.headers
            assert ("idempotent-replayed" in again.headers) == bool(headers)
    assert gateway.verify() == (3, [])
