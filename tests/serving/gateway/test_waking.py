"""Requests that find no model server: they wait for one, with nothing reserved."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.engines import RunningServer, ServerSpec
from serving.gateway.running import CacheSettings
from serving.ledger.database import open_database
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import RunningGateway, gateway_on
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

REQUESTS = 40
OUTCOMES = {"served": 0, "expired": 0, "rejected": 0, "abandoned": 0}


@pytest.fixture(scope="module")
def ports(metered_models: Path) -> ServerSpec:
    """What a model server is started with; its ports are the same each time.

    They are below those that the system gives to whoever asks for any, so that nobody else has
    them by the time a server comes (back).
    """
    rest_port, grpc_port = quiet_ports(2)
    spec = ServerSpec.single("summarizer", metered_models)
    return replace(spec, rest_port=rest_port, grpc_port=grpc_port)


def quiet_ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        port = secrets.randbelow(12_000) + 20_000
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.add(port)
    return sorted(found)


@contextmanager
def started(spec: ServerSpec) -> Iterator[RunningServer]:
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        yield server


@contextmanager
def sleeping_gateway(
    folder: Path,
    models: Path,
    spec: ServerSpec,
    wait_s: float,
    scheme: str = "http",
    cache: CacheSettings | None = None,
) -> Iterator[RunningGateway]:
    """A gateway none of whose model servers is up."""
    url = {
        "http": f"http://127.0.0.1:{spec.rest_port}",
        "grpc": f"grpc://127.0.0.1:{spec.grpc_port}",
    }[scheme]
    engine = open_database(sqlite_ledger(folder))
    with gateway_on(engine, folder, models, [url], wait_s=wait_s, cache=cache) as running:
        yield running
    engine.dispose()


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Each look is a scrape: not as often as tests look at what is in memory."""
    wait_until(reached, what, every_s=0.2)


def waiting(gateway: RunningGateway) -> float:
    (value,) = values(gateway, "tallygraph_model_requests_waiting").values()
    return value


def waits(gateway: RunningGateway) -> dict[str, float]:
    return values(gateway, "tallygraph_model_wait_duration_seconds_count", "outcome")


def values(gateway: RunningGateway, name: str, label: str = "model") -> dict[str, float]:
    return {
        sample.labels[label]: sample.value
        for family in text_string_to_metric_families(gateway.metrics())
        for sample in family.samples
        if sample.name == name
    }


def ask(client: httpx.Client, number: int) -> httpx.Response:
    text = " ".join(["word"] * (1 + number % 6))
    return client.post("/v1/summaries", json={"model": "summarizer", "text": text})


@pytest.mark.parametrize("scheme", ["http", pytest.param("grpc", marks=pytest.mark.long)])
def test_waking_loses_no_request_and_bills_none_twice(
    scheme: str, tmp_path: Path, metered_models: Path, ports: ServerSpec
) -> None:
    with sleeping_gateway(tmp_path, metered_models, ports, 300.0, scheme) as gateway:
        assert (waiting(gateway), waits(gateway)) == (0, OUTCOMES)
        with gateway.client(gateway.key()) as client, ThreadPoolExecutor(REQUESTS + 1) as pool:
            asked = [pool.submit(ask, client, number) for number in range(REQUESTS)]
            counted = pool.submit(
                client.post, "/v1/count_tokens", json={"model": "summarizer", "text": "a b"}
            )
            wait_for(lambda: waiting(gateway) == REQUESTS + 1, "all wait")
            # Nothing of a budget is held for what may never be computed.
            assert (gateway.states(), gateway.reserved_micro()) == ({}, 0)
            with started(ports):
                answers = [each.result() for each in asked]
                assert counted.result().status_code == 200
                assert {answer.status_code for answer in answers} == {200}
                gateway.wait_until_settled(REQUESTS)
                assert waits(gateway) == {**OUTCOMES, "served": REQUESTS + 1}
                assert waiting(gateway) == 0
                # The next one finds it up, and does not wait.
                assert ask(client, 0).status_code == 200
                assert waits(gateway)["served"] == REQUESTS + 1
            charged = sum(answer.json()["usage"]["total_tokens"] for answer in answers)
            rows = gateway.entries()[:REQUESTS]
            assert sum(row.input_tokens + row.output_tokens for row in rows) == charged
            # It has stopped, and the gateway need not have noticed: a request waits again.
            again = pool.submit(ask, client, 1)
            wait_for(lambda: waiting(gateway) == 1, "one waits again")
            with started(ports):
                assert again.result().status_code == 200
        assert gateway.verify() == (REQUESTS + 2, [])
        assert gateway.reserved_micro() == 0


def test_who_waits_too_long_is_told_to_retry_and_owes_nothing(
    tmp_path: Path, metered_models: Path, ports: ServerSpec
) -> None:
    with (
        sleeping_gateway(tmp_path, metered_models, ports, 0.5) as gateway,
        gateway.client(gateway.key()) as client,
    ):
        answer = ask(client, 0)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"]["code"] == "overloaded"
        assert "No model server was up within 0.5 s" in answer.json()["error"]["message"]
        assert waits(gateway) == {**OUTCOMES, "expired": 1}
        assert (gateway.states(), gateway.reserved_micro()) == ({}, 0)


def test_no_time_to_wait_is_a_503_at_once(
    tmp_path: Path, metered_models: Path, ports: ServerSpec
) -> None:
    with (
        sleeping_gateway(tmp_path, metered_models, ports, 0.0) as gateway,
        gateway.client(gateway.key()) as client,
    ):
        answer = ask(client, 0)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert waits(gateway) == OUTCOMES


def test_a_client_that_goes_away_while_it_waits_is_not_charged(
    tmp_path: Path, metered_models: Path, ports: ServerSpec
) -> None:
    """Its next attempt is the only one that is computed."""
    with (
        sleeping_gateway(tmp_path, metered_models, ports, 300.0) as gateway,
        gateway.client(gateway.key()) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        body = json.dumps({"model": "summarizer", "text": "word"}).encode()
        head = (
            "POST /v1/summaries HTTP/1.1\r\nHost: gateway\r\n"
            f"Authorization: {client.headers['Authorization']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", gateway.port)) as hasty:
            hasty.sendall(head.encode() + body)
            wait_for(lambda: waiting(gateway) == 1, "it waits")
        wait_for(lambda: waits(gateway)["abandoned"] == 1, "it is given up")
        again = pool.submit(ask, client, 0)
        wait_for(lambda: waiting(gateway) == 1, "its next attempt waits")
        with started(ports):
            assert again.result().status_code == 200
        assert len(gateway.entries()) == 1


def test_what_is_cached_needs_no_server(
    tmp_path: Path, metered_models: Path, ports: ServerSpec
) -> None:
    cache = CacheSettings("memory")
    with (
        sleeping_gateway(tmp_path, metered_models, ports, 300.0, cache=cache) as gateway,
        gateway.client(gateway.key()) as client,
    ):
        with started(ports):
            assert ask(client, 0).status_code == 200
        wait_for(lambda: not gateway.model.replicas.healthy(), "no server")
        usage = ask(client, 0).json()["usage"]
        assert usage["cached_tokens"] == usage["input_tokens"] == 1
        assert waits(gateway)["served"] <= 1
