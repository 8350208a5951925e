"""One line for each request, and in no line what a client would not want read."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.running_gateway import RunningGateway

# The small model answers in capitals: either is looked for.
SECRET = "xyzzy-plugh"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def ask(client: httpx.Client, text: str = SECRET, **headers: str) -> httpx.Response:
    body = {"model": "summarizer", "text": text}
    return client.post("/v1/summaries", json=body, headers=headers)


def of_the_machine(line: dict[str, Any]) -> bool:
    """Whether a line says that a model server was too slow to say how it is."""
    return line["event"].startswith("The model server ")


def test_a_line_says_who_what_and_how_long(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    urls = [model_server.rest_url]
    with (
        command_gateway(tmp_path, metered_models, urls, "--cache", "memory") as gateway,
        gateway.client(gateway.key()) as client,
    ):
        first = ask(client, "one two three", **{"X-Request-Id": "mine-1"})
        again = ask(client, "one two three", **{"Idempotency-Key": "k"})
        ask(client, "one two three", **{"Idempotency-Key": "k"})
        client.get("/healthz")
        traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        missing = client.post(
            "/v1/summaries", json={"model": "nope", "text": "a"}, headers=traced
        )
    lines = [line for line in gateway.lines() if not of_the_machine(line)]
    assert {line["event"] for line in lines} == {"request"}
    answered, hit, replay, refused = lines  # and none of the question for its health
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT[\d:.]+Z", answered.pop("timestamp"))
    assert answered.pop("latency_ms") > 0
    assert answered == {
        "event": "request",
        "level": "info",
        "request_id": "mine-1",
        "method": "POST",
        "route": "/v1/summaries",
        "status": 200,
        "tenant": "acme",
        "model": "summarizer",
        "model_version": "7",
        "charge_id": first.json()["id"],
        "input_tokens": 3,
        "output_tokens": 3,
        "finish_reasons": "stop",
        "amount_micro": 33,
        "currency": "EUR",
    }
    assert first.headers["x-request-id"] == "mine-1"
    assert (hit["cached_tokens"], hit["amount_micro"]) == (3, 30)
    assert hit["request_id"] == again.headers["x-request-id"]
    assert (replay["replayed"], replay["charge_id"]) == (True, hit["charge_id"])
    assert "amount_micro" not in replay
    assert (refused["status"], refused["error"]) == (404, "model_not_found")
    assert (refused["trace_id"], refused["parent_id"]) == (TRACE, PARENT)
    assert refused["request_id"] == missing.headers["x-request-id"]
    assert "model" not in refused  # its name is the client's


# No outage, after which it would be asked again: the database says no.
REFUSE = "CREATE TRIGGER no_{0} BEFORE INSERT ON {0} BEGIN SELECT RAISE(ABORT, 'no'); END"


def test_no_line_says_what_it_must_not(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    urls = [model_server.rest_url]
    with command_gateway(tmp_path, metered_models, urls, "--log-level", "debug") as gateway:
        key = gateway.key()
        with gateway.client(key) as client:
            assert SECRET.upper() in ask(client).text
            _everything_wrong(client, key)
            _hang_up(gateway, key)
            # What is put into the database is in its errors: the summary among it.
            with gateway.engine.begin() as connection:
                connection.execute(sa.text(REFUSE.format("undelivered")))
            failed = ask(client)
            with gateway.engine.begin() as connection:
                connection.execute(sa.text(REFUSE.format("requests")))
            unknown = ask(client)
    for answer in (failed, unknown):
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal"
        assert SECRET not in answer.text.lower()
        assert answer.headers["x-request-id"]
    lines = gateway.lines()
    text = gateway.process.log_file.read_text("utf-8").lower()
    for secret in (SECRET, key.lower(), key.split("_", 2)[2].lower(), key.split("_")[1]):
        assert secret not in text
    failures = [line for line in lines if line["event"] == "a request failed"]
    assert [line["request_id"] for line in failures] == [
        answer.headers["x-request-id"] for answer in (failed, unknown)
    ]
    types = [each["type"] for each in failures[0]["exception"]]
    assert types == ["sqlalchemy.exc.IntegrityError", "sqlite3.IntegrityError"]
    frames = failures[0]["exception"][0]["frames"]
    assert any(re.search(r"gateway/service.py:\d+ _sell$", frame) for frame in frames)
    statuses = {line["status"] for line in lines if line["event"] == "request"}
    assert statuses >= {200, 400, 401, 404, 405, 413, 500}
    (half,) = [line for line in lines if line.get("request_id") == "half"]
    assert (half["status"], half["error"], half["level"]) == (400, "hung_up", "info")
    # At debug level the gateway's own questions about health are there too.
    assert any(line.get("route") == "/model-servers" for line in lines)


def _everything_wrong(client: httpx.Client, key: str) -> None:
    chat = {"model": "summarizer", "messages": [{"role": "user", "content": SECRET}]}
    client.post("/v1/chat/completions", json=chat)
    client.post("/v1/chat/completions", json={**chat, "stream": True}).read()
    client.post("/v1/chat/completions", json={**chat, SECRET: SECRET, "n": SECRET})
    client.post("/v1/summaries", json={"model": "summarizer", "text": "a", SECRET: SECRET})
    client.post("/v1/summaries", json={"model": SECRET, "text": SECRET})
    client.post("/v1/summaries", content=f'{{"text": "{SECRET}'.encode())
    client.post("/v1/summaries", content=SECRET.encode() * 200_000)
    client.post("/v1/count_tokens", json={"model": "summarizer", "text": SECRET})
    client.get("/v1/usage", params={"month": SECRET})
    client.get(f"/v1/{SECRET}", params={SECRET: SECRET})
    client.request(SECRET.upper(), "/v1/summaries")
    client.put("/v1/summaries", content=SECRET)
    ask(client, **{"Idempotency-Key": SECRET})
    ask(client, "other", **{"Idempotency-Key": SECRET})
    ask(client, **{"X-Request-Id": key})
    ask(client, **{"X-Request-Id": f"{SECRET} {SECRET}"})
    ask(client, traceparent=f"00-{SECRET}-{PARENT}-01", tracestate=SECRET)
    for wrong in (key[:-1] + "_", f"tg_{'0' * 16}_{SECRET}", SECRET):
        ask(client, Authorization=f"Bearer {wrong}")
    ask(client, Authorization=f"{SECRET} {key}")


def _hang_up(gateway: CommandGateway, key: str) -> None:
    """Send a question, whole or half or none, and go; until the gateway is done with it."""
    parts = urlsplit(gateway.url)
    body = json.dumps({"model": "summarizer", "text": SECRET})
    head = f"POST /v1/summaries HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n"
    lengths = {"whole": len(body), "half": len(body) + 10}
    for name, length in lengths.items():
        more = f"X-Request-Id: {name}\r\nContent-Length: {length}\r\n\r\n"
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.sendall(f"{head}{more}{body}".encode())
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(f"{SECRET} {key}\r\n\r\n".encode())
    for name in lengths:
        gateway.wait_for_log(f'"{name}"')


def test_a_gateway_that_cannot_listen_says_so_in_its_log(
    tmp_path: Path, metered_models: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        model = (metered_models, ["http://127.0.0.1:9"])
        with command_gateway(tmp_path, *model, "--port", port, until=None) as gateway:
            assert gateway.process.wait() != 0
    (line,) = [line for line in gateway.lines() if not of_the_machine(line)]
    assert (line["level"], "address already in use" in line["event"]) == ("error", True)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a", True),
        ("550e8400-e29b-41d4-a716-446655440000", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("-a", False),
        ("a b", False),
        ("a\x7f", False),
        ("ä", False),
        ('{"a":1}', False),
        (f"tg_{'0' * 16}_{'a' * 43}", False),
        (f"mine-tg_{'0' * 16}_{'a' * 43}", False),
    ],
)
def test_an_id_is_kept_if_it_is_one(gateway: RunningGateway, sent: str, kept: bool) -> None:
    header = {b"X-Request-Id": sent.encode("latin-1")}
    answer = httpx.get(f"{gateway.url}/healthz", headers=header, trust_env=False, timeout=120)
    own = answer.headers["x-request-id"]
    assert own == sent if kept else re.fullmatch("[0-9a-f]{32}", own)


def test_every_answer_has_an_id(gated_gateway: RunningGateway, gate: GatedProxy) -> None:
    gateway = gated_gateway
    with gateway.client(gateway.key()) as client, ThreadPoolExecutor(24) as pool:
        gate.shut()
        held = [pool.submit(ask, client) for _ in range(24)]
        gate.wait_for_questions(24)  # as many as one tenant may have
        many = [ask(client) for _ in range(8)]
        gate.open()
        many += [each.result() for each in held]
        others = [
            client.get("/v1/models"),
            client.get("/v1/what"),
            gateway.admin("/metrics"),
            client.post("/v1/summaries", content=b"{"),
            httpx.get(f"{gateway.url}/v1/models", trust_env=False, timeout=120),
        ]
    assert [answer.status_code for answer in many] == [503] * 8 + [200] * 24
    assert [answer.status_code for answer in others] == [200, 404, 200, 400, 401]
    ids = {answer.headers["x-request-id"] for answer in (*many, *others)}
    assert len(ids) == len(many) + len(others)
