"""The harness of the serving benchmark: closed loops, what is counted, and what is written."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.environment import machine
from benchmarks.serve.closed_loop import Load, Span, run_tasks, run_threads, steady
from benchmarks.serve.http_connection import HttpConnection
from benchmarks.serve.measuring import take_turns
from benchmarks.serve.page import render
from benchmarks.serve.plot import draw
from benchmarks.serve.results import (
    BATCHED,
    IN_PROCESS,
    UNBATCHED,
    Measured,
    Results,
    Section,
)
from benchmarks.serve.turn import plain

TEXTS = [f"text {i}" for i in range(10)]


def test_threads_and_tasks_ask_the_same_and_no_more_clients_than_told() -> None:
    load = Load(rows=3, clients=2, seconds=0.0)
    asked: dict[str, list[tuple[str, ...]]] = {"threads": [], "tasks": []}
    running, most = 0, 0
    lock = threading.Lock()

    def call(batch: Sequence[str]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            asked["threads"].append(tuple(batch))
        threading.Event().wait(0.01)
        with lock:
            running -= 1

    async def call_async(batch: Sequence[str]) -> None:
        asked["tasks"].append(tuple(batch))
        await asyncio.sleep(0.001)

    spans = run_threads(call, load, TEXTS)
    assert (most, len(spans)) == (2, 10)  # LEAST_CALLS of each
    assert len(asyncio.run(run_tasks([call_async] * 2, load, TEXTS))) == 10
    # Three batches of three: the tenth text fills none.
    expected = [tuple(TEXTS[i % 3 * 3 : i % 3 * 3 + 3]) for i in range(10)]
    assert sorted(asked["threads"]) == sorted(expected)
    assert asked["tasks"] == expected


def test_a_failed_call_ends_the_turn() -> None:
    def call(batch: Sequence[str]) -> None:
        raise OSError("gone")

    async def call_async(batch: Sequence[str]) -> None:
        call(batch)

    load = Load(rows=1, clients=3, seconds=10.0)
    with pytest.raises(OSError, match="gone"):
        run_threads(call, load, TEXTS)
    with pytest.raises(OSError, match="gone"):
        asyncio.run(run_tasks([call_async] * 3, load, TEXTS))


def test_what_is_counted_is_the_steady_part() -> None:
    # Two clients; the first calls are slow, and the last client is alone at the end.
    spans = [Span(0, 10), Span(0, 11), Span(10, 12), Span(11, 13), Span(12, 14), Span(13, 15)]
    spans += [Span(14, 16), Span(15, 30)]
    rate, seconds = steady(spans, clients=2)
    # Those that ended at 12, 13, 14 and 15, after 11.
    assert (rate, seconds) == (1.0, [2, 2, 2, 2])
    with pytest.raises(ValueError, match=r"Expected: more than two .* Received: 4"):
        steady(spans[:4], clients=2)


def test_answers_are_compared_whatever_carried_them() -> None:
    third = np.float32(1) / np.float32(3)
    of_arrays = plain(
        {
            "text": np.array([b"caf\xc3\xa9"], object),
            "bytes": np.array([b"\xff"], object),
            "score": np.array([third]),
            "count": np.array([[1, 2]], np.int64),
            "flag": np.array([True]),
        }
    )
    of_json = plain(
        {
            "count": [[1, 2]],
            "flag": [True],
            "bytes": [{"b64": base64.b64encode(b"\xff").decode()}],
            "score": [0.333333343],
            "text": ["café"],
        }
    )
    assert of_arrays == of_json
    assert of_arrays["flag"] == [True] and of_arrays["count"] == [[1, 2]]
    with pytest.raises(TypeError, match="not an output"):
        plain({"text": object()})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno", "404 Not"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "unknown length"),
    ],
)
def test_an_answer_that_is_not_200_is_an_error(sent: bytes, expected: bytes | str) -> None:
    requests = []

    async def exchange() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer), suppress(asyncio.IncompleteReadError):
                for _ in range(2):
                    head = await reader.readuntil(b"\r\n\r\n")
                    requests.append(head + await reader.readexactly(4))
                    writer.write(sent)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        connection = HttpConnection("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            await connection.post("/first", b"ping")
            return await connection.post("/second", b"pong")
        finally:
            await connection.close()
            server.close()
            await server.wait_closed()

    if isinstance(expected, bytes):
        assert asyncio.run(exchange()) == expected
        assert [each[:12] for each in requests] == [b"POST /first ", b"POST /second"]
        assert b"Content-Length: 4\r\n" in requests[1] and requests[1].endswith(b"pong")
    else:
        with pytest.raises(RuntimeError, match=expected):
            asyncio.run(exchange())


def test_ways_to_ask_take_turns_and_must_agree() -> None:
    order = []

    def way(name: str, rate: float, answer: str) -> Callable[[Load], dict[str, Any]]:
        def ask(load: Load) -> dict[str, Any]:
            order.append((name, load.seconds))
            seconds = [0.001 * i for i in range(1, 101)]
            return {"rate": rate, "seconds": seconds, "processor": 0.002, "answer": answer}

        return ask

    load = Load(rows=1, clients=4, seconds=1.0)
    points, _ = take_turns({"a": way("a", 10, "x"), "b": way("b", 20, "x")}, [load], 2)
    assert order == [("a", 0.25), ("b", 0.25), ("a", 1), ("b", 1), ("b", 1), ("a", 1)]
    assert points[1, 4]["b"] == Measured((20, 20), 200, 50.0, 99.0, 2.0)
    with pytest.raises(AssertionError, match=r"b answers otherwise than a.*'x'.*'y'"):
        take_turns({"a": way("a", 10, "x"), "b": way("b", 20, "y")}, [load], 1)


def results(batching: bool) -> Results:
    ours = Measured((100.0, 110.0, 90.0), 300, 9.0, 12.0, 10.0)
    other = Measured((95.0, 99.0, 90.0), 280, 10.0, 20.0, 0.25)
    throughput = Section(
        machine(),
        "a release",
        2,
        0.02,
        {(1, 4): {IN_PROCESS: ours, "REST": other, "gRPC": other}},
    )
    ways = {UNBATCHED: ours} | ({BATCHED: other} if batching else {})
    many = Section(machine(), "max_batch_size: 8" if batching else "", 2, None, {(1, 2): ways})
    return Results({"fixture": throughput}, many)


def test_results_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "serve.json"
    assert Results.load(path) == Results()
    measured = results(batching=True)
    measured.save(path)
    assert Results.load(path) == measured
    path.write_text(path.read_text().replace('"busy"', '"idle"'))
    with pytest.raises(ValueError, match=r"not as this release writes it: KeyError\('busy'\)"):
        Results.load(path)


def test_the_page_and_the_picture_show_what_was_measured(tmp_path: Path) -> None:
    page = render(results(batching=True), plot="serve.svg", command="make bench-serve")
    assert (
        "| 1 | 4 | 100 (90-110) | 95.0 (90.0-99.0) | 0.950 (0.900-1.000) | 95.0 (90.0-99.0) "
        "| 0.950 (0.900-1.000) | 10.00 | 0.25 | 0.25 |" in page
    )
    assert "| 2 | 100 (90-110) | 9.0 | 12.0 | 95.0 (90.0-99.0) | 10.0 | 20.0 | 0.950" in page
    assert "set up by `max_batch_size: 8`" in page
    alone = render(results(batching=False), plot="serve.svg", command="make bench-serve")
    assert "| 2 | 100 (90-110) | 9.0 | 12.0 |\n" in alone and "batched" not in alone.lower()
    for batching in (True, False):
        section = results(batching).batching
        assert section is not None
        draw(section, tmp_path / "serve.svg")
        svg = (tmp_path / "serve.svg").read_text()
        assert ("batched, p99" in svg, "one by one, p99" in svg) == (batching, True)
