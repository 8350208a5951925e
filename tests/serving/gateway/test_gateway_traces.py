"""Traces, received and read: who was asked for how long, and no texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from serving.engines import RunningServer
from serving.engines.base import free_ports
from tests.serving.gateway.logged_gateway import LoggedGateway
from tests.serving.gateway.otlp_collector import OtlpCollector, attributes

SECRET = "xyzzy-plugh"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def ask(client: httpx.Client, text: str = SECRET, **headers: str) -> httpx.Response:
    body = {"model": "summarizer", "text": text}
    return client.post("/v1/summaries", json=body, headers=headers)


def test_the_parts_of_a_request(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    with OtlpCollector() as collector:
        options = ("--cache", "memory", "--traces", collector.url)
        with LoggedGateway(
            tmp_path, metered_models, model_server.rest_url, *options
        ) as gateway:
            gateway.tenants.create("acme", "standard")
            key = gateway.tenants.make_key("acme")
            with gateway.client(key) as client:
                answer = ask(client, traceparent=f"00-{TRACE}-{PARENT}-01")
                ask(client)
                client.post("/v1/summaries", json={"model": SECRET, "text": SECRET})
        spans = collector.spans()
        assert collector.paths == {"/v1/traces"}
        sent = b"".join(collector.bodies).lower()
    for secret in (SECRET, key, key.split("_", 2)[2], key.split("_")[1]):
        assert secret.lower().encode() not in sent
    (resource,) = {
        attribute.value.string_value
        for request in collector.requests()
        for each in request.resource_spans
        for attribute in each.resource.attributes
        if attribute.key == "service.name"
    }
    assert resource == "tallygraph-gateway"

    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    (root,) = [span for span in ours if span.parent_span_id.hex() == PARENT]
    assert (root.name, root.kind) == ("POST /v1/summaries", Span.SPAN_KIND_SERVER)
    parts = sorted(
        (span for span in ours if span.parent_span_id == root.span_id),
        key=lambda span: span.start_time_unix_nano,
    )
    names = [span.name for span in parts]
    assert names == ["authenticate", "reserve", "cache", "model", "settle"]
    assert len(ours) == 1 + len(parts)
    for part in parts:
        assert root.start_time_unix_nano <= part.start_time_unix_nano
        assert part.end_time_unix_nano <= root.end_time_unix_nano
    line = next(line for line in gateway.lines() if line.get("trace_id") == TRACE)
    assert attributes(root) == {
        "http.request.method": "POST",
        "http.route": "/v1/summaries",
        "http.response.status_code": 200,
        "tallygraph.request_id": line["request_id"],
        "tallygraph.tenant": "acme",
        "tallygraph.charge_id": answer.json()["id"],
        "gen_ai.request.model": "summarizer",
        "gen_ai.response.id": answer.json()["id"],
        "gen_ai.response.model": "summarizer-7",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.output_tokens": 1,
    }
    model = parts[3]
    assert model.kind == Span.SPAN_KIND_CLIENT
    assert attributes(model) == {
        "gen_ai.operation.name": "summarize",
        "gen_ai.request.model": "summarizer",
        "gen_ai.response.model": "summarizer-7",
        "gen_ai.request.max_tokens": 4,
        "tallygraph.texts": 1,
    }

    # A hit asks no model, and a key that was good a moment ago is believed; whoever has no
    # trace begins one, and its line names it.
    hit, refused = (line for line in gateway.lines() if line["trace_id"] != TRACE)
    names = [span.name for span in spans if span.trace_id.hex() == hit["trace_id"]]
    assert sorted(names) == [
        "POST /v1/summaries",
        "cache",
        "reserve",
        "settle",
    ]
    (wrong,) = [
        span
        for span in spans
        if span.trace_id.hex() == refused["trace_id"] and not span.parent_span_id
    ]
    assert attributes(wrong)["error.type"] == "model_not_found"
    assert wrong.status.code == Status.STATUS_CODE_UNSET  # it is the client's mistake


def test_a_model_that_is_gone(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    with OtlpCollector() as collector:
        (port,) = free_ports(1)
        dead = f"http://127.0.0.1:{port}"
        with LoggedGateway(
            tmp_path, metered_models, dead, "--traces", collector.url
        ) as gateway:
            gateway.tenants.create("acme", "standard")
            with gateway.client(gateway.tenants.make_key("acme")) as client:
                assert ask(client).status_code == 503
        (root,) = [span for span in collector.spans() if not span.parent_span_id]
    assert attributes(root)["error.type"] == "overloaded"
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert not root.events  # an exception's words may be a client's


def test_a_receiver_that_is_gone_costs_no_request(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    (port,) = free_ports(1)
    options = ("--traces", f"http://127.0.0.1:{port}")
    with LoggedGateway(tmp_path, metered_models, model_server.rest_url, *options) as gateway:
        gateway.tenants.create("acme", "standard")
        with gateway.client(gateway.tenants.make_key("acme")) as client:
            assert [ask(client).status_code for _ in range(3)] == [200] * 3
    assert [line["status"] for line in gateway.lines() if line["event"] == "request"] == [
        200
    ] * 3


_RUN = "from pipelines.cli import main; main()"
_WITHOUT = f"import sys; sys.modules['opentelemetry.exporter'] = None; {_RUN}"


@pytest.mark.parametrize(
    ("program", "traces", "message"),
    [
        (_WITHOUT, "http://127.0.0.1:4318", "Install 'tallygraph[gateway,tracing]'"),
        (_RUN, "collector:4318", "such as http://127.0.0.1:4318. Received: 'collector:4318'"),
    ],
)
def test_traces_that_cannot_be(tmp_path: Path, program: str, traces: str, message: str) -> None:
    prices = "examples/prices.toml"
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, "gateway", "--prices", prices),
            *("--database", f"sqlite:///{tmp_path}/ledger.sqlite"),
        ],
        # OpenTelemetry's own variable says it as well as the option.
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": traces, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_without_an_address_nothing_is_imported_that_sends_traces() -> None:
    # Other parts of OpenTelemetry may be: FastAPI and Redis's client look for them.
    program = (
        "import sys, serving.gateway.running as r; r.open_tracer(None); "
        "sends = ('opentelemetry.exporter', 'opentelemetry.sdk.trace'); "
        "print([name for name in sys.modules if name.startswith(sends)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
