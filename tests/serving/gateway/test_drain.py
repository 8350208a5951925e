"""A gateway that is told to end: it is not ready at once, and drops nobody."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipelines.gateway_process import READY
from serving.bounded_http import KEEP_ALIVE_S
from serving.gateway.running import GatewaySettings
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.running_gateway import DEADLINE_S
from tests.support.waiting import wait_until

CLIENTS = 8
BODY = {"model": "summarizer", "text": "a b c"}


@dataclass
class KeptAlive(threading.Thread):
    """Asks on one connection, again and again, until a response closes it."""

    url: str
    key: str
    over: threading.Event
    answers: list[httpx.Response] = field(default_factory=list)
    errors: list[httpx.HTTPError] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    # A thread is known by what it is, not by what it holds.
    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(headers=headers, timeout=DEADLINE_S, trust_env=False) as http:
            while not self.over.is_set():
                try:
                    answer = http.post(f"{self.url}/v1/summaries", json=BODY)
                except httpx.HTTPError as error:
                    self.errors.append(error)
                    return
                self.answers.append(answer)
                if closes(answer):
                    return


def closes(answer: httpx.Response) -> bool:
    return answer.headers.get("connection") == "close"


def terminate(gateway: CommandGateway) -> None:
    assert gateway.process.process is not None
    gateway.process.process.terminate()


def takes_connections(gateway: CommandGateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", gateway.process.port)) == 0


def test_nobody_is_dropped(tmp_path: Path, metered_models: Path, gate: GatedProxy) -> None:
    options = ("--drain-s", "3600")  # until the second signal
    with command_gateway(tmp_path, metered_models, [gate.url], *options) as gateway:
        key = gateway.key()
        over = threading.Event()
        clients = [KeptAlive(gateway.url, key, over) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            wait_until(lambda: all(client.answers for client in clients), "an answer each")
            assert gateway.ready().status_code == 200
            terminate(gateway)
            wait_until(lambda: gateway.ready().status_code == 503, "a gateway not ready")
            for client in clients:
                client.join(DEADLINE_S)
        finally:
            over.set()
        assert gateway.ready().json()["status"] == "ending"
        assert [client.errors for client in clients] == [[]] * CLIENTS
        # Each was told with an answer that its connection is at its end.
        assert all(closes(client.answers[-1]) for client in clients)
        assert {a.status_code for client in clients for a in client.answers} == {200}

        # Whoever has not heard of it yet is answered all the same.
        with gateway.client(key) as late:
            answer = late.post("/v1/summaries", json=BODY)
            assert (answer.status_code, closes(answer)) == (200, True)
        assert gateway.process.exit_status() is None

        gate.reset()
        gate.shut()
        last: list[httpx.Response] = []

        def ask_last() -> None:
            with gateway.client(key) as http:
                last.append(http.post("/v1/summaries", json=BODY))

        under_way = threading.Thread(target=ask_last)
        under_way.start()
        gate.wait_for_questions(1)
        with socket.create_connection(("127.0.0.1", gateway.process.port)) as idle:
            idle.settimeout(DEADLINE_S)
            terminate(gateway)
            # Closed in order, not reset.
            assert idle.recv(1) == b""
        wait_until(lambda: not takes_connections(gateway), "no more connections")
        # It answers what is under way, and is watched as long as it does.
        assert gateway.process.exit_status() is None
        assert gateway.ready().status_code == 503
        gate.open()
        under_way.join(DEADLINE_S)
        assert [(each.status_code, closes(each)) for each in last] == [(200, True)]
        gateway.process.wait()

        answered = sum(len(client.answers) for client in clients) + 2
        assert verify(gateway.engine) == (answered, [])


def test_without_time_to_drain_it_ends_at_once(
    tmp_path: Path, metered_models: Path, gate: GatedProxy
) -> None:
    with command_gateway(tmp_path, metered_models, [gate.url], until=READY) as gateway:
        terminate(gateway)
        gateway.process.wait()


def ask_on(connection: socket.socket) -> bytes:
    """The head of an answer, on a connection that both sides keep open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
    received = b""
    while b'"status":"ok"' not in received.replace(b" ", b""):
        part = connection.recv(4096)
        assert part, f"closed after {received!r}"
        received += part
    return received.partition(b"\r\n")[0]


def test_an_idle_connection_is_kept_for_as_long_as_is_set(
    tmp_path: Path, metered_models: Path, gate: GatedProxy
) -> None:
    """Load balancers keep theirs for 60 s: one that is closed earlier is a client's error."""
    short, usual = tmp_path / "short", tmp_path / "usual"
    short.mkdir()
    usual.mkdir()
    # Longer than uvicorn's own default, which is 5.
    options = ("--keep-alive-s", "6")
    with (
        command_gateway(short, metered_models, [gate.url], *options, until=READY) as closing,
        command_gateway(usual, metered_models, [gate.url], until=READY) as keeping,
        socket.create_connection(("127.0.0.1", keeping.process.port), DEADLINE_S) as kept,
        socket.create_connection(("127.0.0.1", closing.process.port), DEADLINE_S) as closed,
        socket.create_connection(("127.0.0.1", closing.process.port), DEADLINE_S) as unused,
    ):
        assert ask_on(kept) == ask_on(closed) == b"HTTP/1.1 200 OK"
        assert closed.recv(1) == b""  # in order, not reset
        assert unused.recv(1) == b""  # nor one that was opened before there was a request
        assert ask_on(kept) == b"HTTP/1.1 200 OK"
    assert GatewaySettings.keep_alive_s == KEEP_ALIVE_S > 60
