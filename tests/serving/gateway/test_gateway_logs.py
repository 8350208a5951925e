"""One line for each request, and in no line what a client would not want read."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.gateway.ops.logs import configure_logs, described
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


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Gives this process its own logs back."""
    root = logging.getLogger()
    handlers, level, ours = root.handlers, root.level, logging.getLogger("serving").level
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name in ("pipelines", "serving", "tokenizer"):
        logging.getLogger(name).setLevel(ours)


@pytest.fixture
def log(as_it_was: None) -> io.StringIO:
    """This process's own log, as a gateway writes it, for as long as a test runs."""
    stream = io.StringIO()
    configure_logs("debug", stream)
    return stream


def test_a_line_goes_to_what_standard_error_is_by_then(
    as_it_was: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs a command in its own process gives it one, and takes it away again."""
    before, after = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    configure_logs("info")
    before.close()
    monkeypatch.setattr(sys, "stderr", after)
    logging.getLogger("serving.gateway.test").info("here")
    assert [json.loads(line)["event"] for line in after.getvalue().splitlines()] == ["here"]


def test_of_a_librarys_log_the_authors_words_are_kept(log: io.StringIO) -> None:
    library = logging.getLogger("some.library")
    library.warning("cannot read %s", SECRET)
    library.info("reading")
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error
    except ValueError:
        library.exception("it failed with %r", SECRET)
    library.error(ValueError(SECRET))
    logging.getLogger("serving.gateway.test").info("%d of %s", 1, "ours")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    said = [(line["event"], line["level"]) for line in lines]
    assert said == [
        ("cannot read %s", "warning"),
        ("it failed with %r", "error"),
        ("ValueError", "error"),
        ("1 of ours", "info"),
    ]
    assert SECRET not in log.getvalue()
    assert [each["type"] for each in lines[1]["exception"]] == [
        "builtins.ValueError",
        "builtins.KeyError",
    ]


def test_what_a_lost_task_died_of_is_not_quoted(log: io.StringIO) -> None:
    async def lost() -> None:
        raise ValueError(SECRET)

    async def work() -> None:
        task = asyncio.ensure_future(lost())
        await asyncio.sleep(0)
        del task

    asyncio.run(work())
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert line["event"] == "Task exception was never retrieved"
    assert line["exception"][0]["type"] == "builtins.ValueError"
    assert SECRET not in log.getvalue()


def test_a_chain_of_causes_is_bounded() -> None:
    error: Exception = ValueError("0")
    for number in range(100):
        try:
            raise ValueError(str(number)) from error
        except ValueError as raised:
            error = raised
    assert len(described(error)) == 5
    assert described(None) == []


def test_no_such_level() -> None:
    with pytest.raises(ValueError, match=r"one of debug, .*\. Received: 'loud'"):
        configure_logs("loud")
