"""The servers' request counters against the ledger: pages, and what does not agree."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.billing.reconciliation.counters import (
    CountersError,
    answered,
    counted,
    read_gateway_page,
    read_page,
)
from serving.billing.reconciliation.reconcile import reconcile
from serving.billing.reconciliation.records import Window
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.operations import COUNT_OPERATION
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.database import open_database
from serving.ledger.work import work_hash
from tests.support.fresh_ledger import sqlite_ledger

# As a TensorFlow Serving writes it: colons, other metrics of the same beginning, no _total.
PAGE = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="summarizer",status="OK"} %d
:tensorflow:serving:request_count{model_name="summarizer",status="INVALID_ARGUMENT"} 2
:tensorflow:serving:request_count{model_name="other \\"one\\"",status="OK"} 5
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="elsewhere",API="predict",le="10"} 9
:tensorflow:serving:request_latency_sum{model_name="elsewhere",API="predict"} 1.5e6
:tensorflow:serving:request_latency_count{model_name="elsewhere",API="predict"} 0
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A ledger of three charges, one of which a cache answered."""
    engine = open_database(sqlite_ledger(tmp_path))
    ledger = Ledger(engine, "gateway-0")
    for number, cached in enumerate((0, 0, 2)):
        ledger.reserve(Reservation(f"r{number}", "acme", 9, "0" * 64))
        work = "" if cached else work_hash([f"text {number}"], [0])
        usage = Usage("summarizer", "7", "f", 1, 2, cached, 1, "stop", 5, work)
        ledger.settle(f"r{number}", usage, Charge(1, "EUR", "p"), b"")
    yield engine
    engine.dispose()


def test_predictions_are_told_from_other_questions(tmp_path: Path) -> None:
    """Over REST, the gateway's looks at a server are counted like requests."""
    latencies = """# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="summarizer",API="predict",%s,le="1"} 1
:tensorflow:serving:request_latency_count{model_name="summarizer",API="predict",%s} 4
:tensorflow:serving:request_latency_count{model_name="summarizer",API="Predict",%s} 5
:tensorflow:serving:request_latency_count{model_name="summarizer",API="",%s} 300
:tensorflow:serving:request_latency_count{model_name="idle",API="",%s} 300
"""
    rest, grpc = 'entrypoint="REST"', 'entrypoint="GRPC"'
    text = (PAGE % 309).split("# TYPE :tensorflow:serving:request_latency")[0]
    text += latencies % (rest, rest, grpc, rest, rest)
    (tmp_path / "page").write_text(text)
    counts = read_page(str(tmp_path / "page"))
    assert counts["summarizer", "OK"] == 309
    assert answered(counts, "summarizer") == 9
    assert answered(counts, "idle") == 0
    assert answered(counts, 'other "one"') == 5  # as the page does not tell


def pages(folder: Path, *counts: int) -> list[str]:
    paths = [folder / f"page-{place}" for place in range(len(counts))]
    for path, count in zip(paths, counts, strict=True):
        path.write_text(PAGE % count)
    return [str(path) for path in paths]


def test_what_several_servers_counted(tmp_path: Path) -> None:
    first, second, third = pages(tmp_path, 10, 13, 4)
    counts = counted([first, ""], [second, third])
    assert counts["summarizer", "OK"] == 3 + 4
    assert counts["summarizer", "INVALID_ARGUMENT"] == 0 + 2
    assert counts['other "one"', "OK"] == 0 + 5
    only = counted([first, ""], [second, third], ["summarizer"])
    assert only["summarizer", "OK"] == 7
    assert {model for model, _ in only} == {"summarizer"}


@pytest.mark.parametrize(
    ("said", "drift"),
    [
        (12, []),
        (
            15,
            [
                "summarizer: the servers answered 5 requests. Expected: 2 that are billed "
                "and 0 that are intentionally not billed. 3 were answered but not billed; "
                "the request logs show which ones, and the gateways' pages how many only "
                "counted tokens"
            ],
        ),
        (
            11,
            [
                "summarizer: the servers answered 1 requests. Expected: 2 that are billed "
                "and 0 that are intentionally not billed. 1 were never answered; the "
                "request logs show which ones, and the gateways' pages how many only counted "
                "tokens"
            ],
        ),
    ],
)
def test_counters_against_the_ledger(
    tmp_path: Path, engine: sa.Engine, said: int, drift: list[str]
) -> None:
    before, after = pages(tmp_path, 10, said)
    window = Window(0, 2e10)
    requests = counted([before], [after])
    result = reconcile(engine, window, requests=requests)
    assert result.counters == drift
    assert result.drift == len(drift)
    if said == 15:  # three of which counted tokens, as its operator knows
        of_purpose = {"summarizer": 3, "another": 0}
        assert reconcile(engine, window, (), requests, of_purpose).drift == 0


def test_the_gateway_s_own_count_of_tokens_is_no_drift(
    tmp_path: Path, engine: sa.Engine
) -> None:
    """As a gateway writes its page: what failed is not counted, nor what is charged."""
    metrics = Metrics()
    with metrics.model_call("summarizer"):
        pass
    for _ in range(3):
        with metrics.model_call("summarizer", COUNT_OPERATION):
            pass
    with pytest.raises(KeyError), metrics.model_call("summarizer", COUNT_OPERATION):
        raise KeyError
    page = tmp_path / "gateway"
    page.write_bytes(metrics.page())
    not_billed = counted([""], [str(page)], read=read_gateway_page)
    assert not_billed == {("summarizer", "count_tokens"): 3}
    assert not counted([str(page)], [str(page)], read=read_gateway_page).total()
    before, after = pages(tmp_path, 10, 15)
    requests = counted([before], [after])
    only_counted = {model: count for (model, _), count in not_billed.items()}
    assert reconcile(engine, Window(0, 2e10), (), requests, only_counted).drift == 0


def test_a_server_that_was_started_again(tmp_path: Path) -> None:
    before, after = pages(tmp_path, 10, 3)
    with pytest.raises(CountersError, match=r"counted 3 requests .* 10: the server was"):
        counted([before], [after])
    with pytest.raises(CountersError, match="Received: 1 before, 2 after"):
        counted([before], [after, after])


def test_pages_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "page").write_text('x{model_name="a" 1\n')
    for place in (str(tmp_path / "page"), str(tmp_path / "nothing"), "http://127.0.0.1:9/"):
        with pytest.raises(CountersError, match=r"Cannot read the counters of .*Expected: "):
            read_page(place)
        with pytest.raises(CountersError, match=r"Cannot read the counters of .*a gateway"):
            read_gateway_page(place)


def test_a_page_of_an_address() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write((PAGE % 10).encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert read_page(f"{url}/metrics")["summarizer", "OK"] == 10
        with pytest.raises(CountersError, match="404"):
            read_page(f"{url}/other")
        server.shutdown()
