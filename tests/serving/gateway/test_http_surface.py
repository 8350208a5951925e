"""What HTTP itself carries: strict heads, headers of answers, HEAD, CORS, no redirects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from serving.ledger.database import open_database
from tests.serving.gateway.at_once import ask as ask_raw
from tests.serving.gateway.at_once import request_bytes
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.rate_time import RateTime
from tests.support.running_gateway import RunningGateway, gateway_on
from tests.support.waiting import wait_until

BODY = {"model": "summarizer", "text": "one two"}


@pytest.mark.parametrize(
    ("plain", "odd"),
    [
        (b"Host: gateway\r\n", b"Host: gateway\n"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        (b"Host: gateway\r\n", b"Host: gateway\r\nX-Folded: a\r\n b\r\n"),
        (b"Host: gateway\r\n", b"Host: gateway\r\nX-Folded: a\r\n\tb\r\n"),
        (b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        (b"Content-Length", b"Transfer-encoding : chunked\r\nContent-Length"),
        (b"\r\n\r\n", b"\n\n"),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(
    gateway: RunningGateway, plain: bytes, odd: bytes
) -> None:
    request = request_bytes(gateway.key(), BODY)
    assert request.count(plain) == 1
    assert asyncio.run(ask_raw(gateway.port, request)).status == 200
    # `ask_raw` reads until the connection is closed, which it must be.
    keeps_open = request.replace(b"Connection: close\r\n", b"")
    refused = asyncio.run(ask_raw(gateway.port, keeps_open.replace(plain, odd)))
    assert refused.status == 400
    assert len(gateway.entries()) == 1


def test_clients_do_not_learn_where_model_servers_are(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, nobody: HeldPorts
) -> None:
    address = f"127.0.0.1:{nobody.numbers[0]}"
    with gateway_on(engine, tmp_path, metered_models, [f"http://{address}"]) as running:
        with running.client(running.key()) as client:
            answers = [
                client.post("/v1/summaries", json=BODY),
                client.post("/v1/count_tokens", json=BODY),
            ]
        assert [answer.status_code for answer in answers] == [503, 503]
        assert not any(address in answer.text for answer in answers)
        assert running.admin("/readyz").json() == {"status": "ready", "problems": []}
        found = running.admin("/model-servers")
    assert (found.status_code, found.headers["retry-after"]) == (503, "1")
    said = found.json()
    assert said["status"] == "down" and address in said["problem"]
    (server,) = said["model_servers"]
    assert not server["healthy"] and address in server["url"]


def test_a_ledger_that_cannot_be_written_is_not_ready(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    engine = open_database(sqlite_ledger(tmp_path))

    def only_read(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        connection.cursor().execute("PRAGMA query_only = ON")

    with gateway_on(engine, tmp_path, metered_models, [model_server.rest_url]) as running:
        assert running.admin("/readyz").status_code == 200
        sa.event.listen(engine, "connect", only_read)
        engine.dispose()
        wait_until(lambda: running.admin("/readyz").status_code == 503, "a gateway not ready")
        assert running.admin("/readyz").json()["problems"] == [
            "The ledger cannot be written: OperationalError"
        ]
        sa.event.remove(engine, "connect", only_read)
        engine.dispose()
        wait_until(lambda: running.admin("/readyz").status_code == 200, "a ready gateway")
    engine.dispose()


def test_no_redirect_is_built_from_the_host(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        for path in ("/v1/models/", "/healthz/", "/v1/usage/"):
            answer = client.get(path, headers={"Host": "evil.example"})
            assert answer.status_code == 404
            assert "location" not in answer.headers and "evil" not in answer.text


def test_head_is_where_get_is(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:
        for path in ("/v1/models", "/v1/models/summarizer", "/v1/usage", "/healthz"):
            whole, head = client.get(path), client.head(path)
            assert head.status_code == 200 and head.content == b""
            assert head.headers["content-length"] == whole.headers["content-length"]
            assert head.headers["x-request-id"]
        assert client.head("/v1/summaries").status_code == 405


def test_who_is_not_known_is_told_how(gateway: RunningGateway) -> None:
    with gateway.client("tg_wrong") as client:
        answer = client.get("/v1/models")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="tallygraph"'


def test_what_is_left_of_the_minute(gateway: RunningGateway, rate_time: RateTime) -> None:
    key = gateway.key(requests_per_minute=2, tokens_per_minute=100)
    with gateway.client(key) as client:
        answers = [client.post("/v1/summaries", json=BODY) for _ in range(3)]
        rate_time.pass_minute()
        answers.append(client.post("/v1/summaries", json=BODY))
    names = [
        f"x-ratelimit-{what}-{of}"
        for of in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    ]
    # Of tokens the one before has used four.
    assert [[answer.headers[name] for name in names] for answer in answers] == [
        ["2", "1", "61s", "100", "100", "0s"],
        ["2", "0", "61s", "100", "96", "61s"],
        ["2", "0", "61s", "100", "92", "61s"],
        ["2", "1", "61s", "100", "100", "0s"],
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    with gateway.client(gateway.key("free")) as client:
        headers = client.post("/v1/summaries", json=BODY).headers
    assert not any(name.startswith("x-ratelimit") for name in headers)


def test_the_budget_that_is_left(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key(budget_micro=1000)) as client:
        assert client.post("/v1/summaries", json=BODY).status_code == 200
        usage = client.get("/v1/usage").json()
    assert usage["amount_micro"] == 22
    assert usage["remaining_micro"] == 1000 - 22
    with gateway.client(gateway.key("poor", budget_micro=30)) as client:
        assert client.post("/v1/summaries", json=BODY).status_code == 429
        refused = client.post("/v1/summaries", json={**BODY, "max_output_tokens": 3})
        assert refused.headers["x-ratelimit-remaining-budget-micro"] == "30"
    with gateway.client(gateway.key("free")) as client:
        assert client.get("/v1/usage").json()["remaining_micro"] is None


def test_browsers_may_call_where_they_are_allowed(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    origin = "https://app.example.com"
    with (
        gateway_on(
            engine, tmp_path, metered_models, [model_server.rest_url], cors_origins=[origin]
        ) as running,
        running.client(running.key()) as client,
    ):
        asks = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        allowed = client.options("/v1/summaries", headers=asks)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == origin
        other = client.options("/v1/summaries", headers={**asks, "Origin": "https://else.com"})
        assert other.status_code == 400
        answer = client.post("/v1/summaries", json=BODY, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "X-Truncated-Tokens" in answer.headers["access-control-expose-headers"]
        refused = client.get(
            "/v1/models", headers={"Origin": origin, "Authorization": "Bearer no"}
        )
        assert refused.headers["access-control-allow-origin"] == origin


def test_without_the_setting_no_page_may_call(gateway: RunningGateway) -> None:
    answer = httpx.get(
        f"{gateway.url}/healthz", headers={"Origin": "https://a.b"}, trust_env=False
    )
    assert "access-control-allow-origin" not in answer.headers


def test_a_path_that_there_is_not_says_where_to_look(gateway: RunningGateway) -> None:
    private = gateway.admin("/nothing")
    assert (private.status_code, private.json()["error"]["code"]) == (404, "no_such_path")
    for path in ("/admin/v1/openapi.json", "/metrics", "/readyz"):
        assert path in private.text
        assert gateway.admin(path).status_code == 200
    assert "/v1/" not in private.text.replace("/admin/v1/", "")
    with gateway.client(gateway.key()) as client:
        public = client.get("/nothing")
        assert client.get("/openapi.json").status_code == 200
    assert (public.status_code, public.json()["error"]["code"]) == (404, "no_such_path")
    assert "/openapi.json" in public.text
    for name in ("admin", "metrics", "readyz"):
        assert name not in public.text
