"""Bodies, headers and bytes that no polite client sends: refused, and the gateway lives."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from tests.support.running_gateway import DEADLINE_S, RunningGateway, hold_refusal
from tests.support.sizes import sized

EXAMPLES = sized(quick=60, long=1000)
SEED = 20261125
LARGEST_HEAD = 60_000  # what is smaller is read to its end, whatever it is
PATHS = ["/v1/chat/completions", "/v1/summaries", "/v1/count_tokens"]
VALID: list[dict[str, Any]] = [
    {"model": "summarizer", "messages": [{"role": "user", "content": "a b"}], "stream": True},
    {"model": "summarizer", "text": ["a b", "c"], "max_output_tokens": 2},
    {"model": "summarizer", "text": "a b"},
]
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# Lone surrogates too: json writes them as escapes, which are legal JSON and no text.
texts = st.text(st.characters(), max_size=40)
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**400])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    leaves, lambda some: st.lists(some, max_size=5) | st.dictionaries(texts, some, max_size=5)
)


@st.composite
def nearly_valid(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid body with one value put in the place of another, somewhere in it."""
    place = draw(st.integers(0, len(PATHS) - 1))
    body = orjson.loads(orjson.dumps(VALID[place]))
    owner, name = body, draw(st.sampled_from([*body, "n", "tools", "stream_options", "extra"]))
    while isinstance(owner.get(name), list) and isinstance(owner[name][0], dict):
        if not draw(st.booleans()):
            break
        owner = owner[name][0]
        name = draw(st.sampled_from([*owner, "extra"]))
    owner[name] = draw(values)
    return PATHS[place], json.dumps(body).encode()


odd_bytes = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            b"",
            b"NaN",
            b'{"model": "summarizer", "text": NaN}',
            b'{"model": "summarizer", "text": "\\ud800"}',
            b'{"model": "summarizer", "text": "\xff"}',
            b'{"model": "summarizer", "text": "a"} {}',
            b"[" * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
            '{"model": "summarizer", "text": "a"}'.encode("utf-16"),
            b"\xef\xbb\xbf" + b'{"model": "summarizer", "text": "a"}',
            b'{"model": "summarizer", "text": "' + b"a" * 1_100_000 + b'"}',
            b'{"model": "summarizer", "text": ' + b"1" * 100_000 + b"}",
            b'{"model": "' + b"m" * 500_000 + b'", "text": "a"}',
            b'{"' + b"x" * 500_000 + b'": 1, "model": "summarizer", "text": "a"}',
        ]
    ),
)


def hold(answer: httpx.Response) -> None:
    """It is answered, or refused as the client's fault in a message that is bounded."""
    if answer.status_code != 200:
        hold_refusal(answer.status_code, answer.content)
        assert len(answer.content) < 2000


def hold_alive(gateway: RunningGateway, client: httpx.Client) -> None:
    """What is right is answered as ever, nothing waits, and the ledger is whole."""
    answer = client.post("/v1/summaries", json={"model": "summarizer", "text": "one two"})
    assert answer.json()["usage"]["total_tokens"] == 4
    usage = client.get("/v1/usage").json()
    assert usage["reserved_micro"] == 0
    assert gateway.verify() == (usage["entries"], [])


@pytest.mark.sized
def test_bodies(gateway: RunningGateway) -> None:
    with gateway.client(gateway.key()) as client:

        @seed(SEED)
        @fuzzed
        @given(st.one_of(nearly_valid(), st.tuples(st.sampled_from(PATHS), odd_bytes)))
        @example(("/v1/summaries", b'{"model": "summarizer", "text": "a\\u0000b"}'))
        def body(request: tuple[str, bytes]) -> None:
            path, content = request
            hold(client.post(path, content=content))

        body()
        hold_alive(gateway, client)


def test_every_odd_body_is_refused(gateway: RunningGateway) -> None:
    """Those that are in no way right, each at every path."""
    with gateway.client(gateway.key()) as client:
        for content in (b"", b"NaN", b"[" * 100_000, b"\xff", b'"\\ud800"', b"null", b"1e400"):
            for path in PATHS:
                answer = client.post(path, content=content)
                assert answer.status_code == 400, content[:20]
                hold(answer)
        assert client.get("/v1/usage").json()["entries"] == 0


@pytest.mark.sized
def test_headers(gateway: RunningGateway) -> None:
    good = gateway.key()
    names = st.sampled_from(
        ["Idempotency-Key", "Content-Type", "Accept", "Content-Encoding", "Expect", "X-Odd"]
    )
    # What HTTP itself allows in a value; what it does not is below.
    odd = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=300)
    odd = odd.map(str.strip)
    some = st.sampled_from(["", "a" * 255, "a" * 256, "a" * 60_000, "ü", "null", "gzip"])
    authorizations = st.one_of(
        odd, st.just(f"Bearer {good}x"), st.just("Bearer"), st.just(f"Basic {good}"), some
    )
    with httpx.Client(base_url=gateway.url, timeout=DEADLINE_S, trust_env=False) as http:

        @seed(SEED)
        @fuzzed
        @given(authorizations)
        def nobody(value: str) -> None:
            headers = [(b"Authorization", value.encode("latin-1"))]
            answer = http.post("/v1/summaries", json=VALID[2], headers=headers)
            assert answer.status_code in (400, 401), answer.content
            hold(answer)

        nobody()

        @seed(SEED)
        @fuzzed
        @given(st.lists(st.tuples(names, odd | some), max_size=4), st.sampled_from(PATHS))
        def somebody(odd_headers: list[tuple[str, str]], path: str) -> None:
            headers = [(b"Authorization", f"Bearer {good}".encode())]
            headers += [(name.encode(), value.encode("latin-1")) for name, value in odd_headers]
            body = orjson.dumps(VALID[PATHS.index(path)])
            try:
                answer = http.post(path, content=body, headers=headers)
            except httpx.TransportError:
                # It may be cut off before all of it is read, and then a connection is reset.
                assert sum(len(name) + len(value) for name, value in headers) > LARGEST_HEAD
            else:
                hold(answer)

        somebody()
    with gateway.client(good) as client:
        hold_alive(gateway, client)


@pytest.mark.parametrize("key", ["k", "ü", "a" * 255, "' OR 1=1 --", "%00", "{}", "-"])
def test_odd_idempotency_keys_are_keys_as_any_other(gateway: RunningGateway, key: str) -> None:
    with gateway.client(gateway.key()) as client:
        headers = [(b"Idempotency-Key", key.encode("latin-1"))]
        answers = {
            client.post("/v1/summaries", json=VALID[2], headers=headers).content
            for _ in range(2)
        }
        assert len(answers) == 1
        assert client.get("/v1/usage").json()["entries"] == 1


def talk(port: int, *pieces: bytes, hang_up: bool = False) -> tuple[int, bytes] | None:
    """Status and body of what a port answers to raw bytes; None where it only hangs up."""
    received, expected = b"", None
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            while expected is None or len(received) < expected:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                received += chunk
                if length := re.search(
                    rb"content-length: (\d+)\r\n.*?\r\n\r\n", received, re.S
                ):
                    expected = length.end() + int(length[1])
        except ConnectionError:
            pass  # it has hung up in the middle of what it was told
    if not received:
        return None
    assert received.startswith(b"HTTP/1.1 "), received
    return int(received[9:12]), received[:expected].partition(b"\r\n\r\n")[2]


HEAD = b"POST /v1/summaries HTTP/1.1\r\nHost: a\r\n"
ODD_REQUESTS = {
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "a line": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no colon": b"GET /v1/models HTTP/1.1\r\nHost a\r\n\r\n",
    "name with a space": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
    "nul": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a\0b\r\n\r\n",
    "long target": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "long header": HEAD + b"A: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": HEAD + b"A: a\r\n" * 20_000 + b"\r\n",
    "length of letters": HEAD + b"Content-Length: abc\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "huge length": HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "path of bytes": b"GET /v1/%ff%00%ed%a0%80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "query of bytes": b"GET /v1/usage?month=%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "dots": b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute": b"GET http://example.com/v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "made up method": b"BREW /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "small method": b"get /v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    "websocket": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: YWJj\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "http/1.0": b"POST /v1/summaries HTTP/1.0\r\n\r\n",
}


# They may be cut off before all of them is read, and then a connection is reset.
OVERSIZED = ("long target", "long header", "many headers")


@pytest.mark.parametrize("name", ODD_REQUESTS)
def test_raw_bytes(gateway: RunningGateway, name: str) -> None:
    port = httpx.URL(gateway.url).port or 0
    answer = talk(port, ODD_REQUESTS[name])
    if answer is None:
        assert name in OVERSIZED
    else:
        hold_refusal(*answer)
    with gateway.client(gateway.key()) as client:
        hold_alive(gateway, client)


@pytest.mark.parametrize("where", [0.0, 0.3, 0.9])
def test_a_request_that_ends_too_soon(gateway: RunningGateway, where: float) -> None:
    """Cut off in its head or body, it is not answered, and costs nothing."""
    key = gateway.key()
    port = httpx.URL(gateway.url).port or 0
    body = orjson.dumps(VALID[2])
    head = HEAD + f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    whole = head + body
    assert talk(port, whole[: int(len(whole) * where)], hang_up=True) is None
    with gateway.client(key) as client:
        hold_alive(gateway, client)
        assert client.get("/v1/usage").json()["entries"] == 1


def test_a_body_in_pieces_is_one_body(gateway: RunningGateway) -> None:
    key = gateway.key()
    port = httpx.URL(gateway.url).port or 0
    body = orjson.dumps(VALID[2])
    head = HEAD + f"Authorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = [b"1\r\n" + body[place : place + 1] + b"\r\n" for place in range(len(body))]
    answer = talk(port, head, *chunks, b"0\r\n\r\n")
    assert answer is not None
    assert answer[0] == 200
