"""Traces, received and read: who was asked for how long, and no texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.gateway_process import ALIVE, GatewayProcess
from serving.engines import RunningServer
from serving.engines.base import HeldPorts
from serving.gateway.tenants import CACHED_FOR_S
from tests.serving.gateway.otlp_collector import OtlpCollector, attributes
from tests.support.command_gateway import command_gateway

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
        urls = [model_server.rest_url]
        with command_gateway(tmp_path, metered_models, urls, *options) as gateway:
            key = gateway.key()
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
    requests = [line for line in gateway.lines() if line["event"] == "request"]
    line = next(line for line in requests if line["trace_id"] == TRACE)
    assert attributes(root) == {
        "http.request.method": "POST",
        "http.route": "/v1/summaries",
        "url.path": "/v1/summaries",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "tallygraph.request_id": line["request_id"],
        "tallygraph.tenant": "acme",
        "tallygraph.charge_id": answer.json()["id"],
        "gen_ai.operation.name": "summarize",
        "gen_ai.provider.name": "tallygraph",
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
        "gen_ai.provider.name": "tallygraph",
        "gen_ai.request.model": "summarizer",
        "gen_ai.response.model": "summarizer-7",
        "gen_ai.request.max_tokens": 4,
        "tallygraph.texts": 1,
    }

    # A hit asks no model, and a key that was valid a moment ago is not read again; a request
    # without a trace begins one, and its line names it.
    hit, refused = (line for line in requests if line["trace_id"] != TRACE)
    found = {span.name: span for span in spans if span.trace_id.hex() == hit["trace_id"]}
    again = found.pop("authenticate", None)
    assert sorted(found) == ["POST /v1/summaries", "cache", "reserve", "settle"]
    if again is not None:  # the machine was busy: that moment is over
        since_s = (again.start_time_unix_nano - parts[0].start_time_unix_nano) / 1e9
        assert since_s > CACHED_FOR_S
    (wrong,) = [
        span
        for span in spans
        if span.trace_id.hex() == refused["trace_id"] and not span.parent_span_id
    ]
    assert attributes(wrong)["error.type"] == "model_not_found"
    assert wrong.status.code == Status.STATUS_CODE_UNSET  # it is the client's mistake


def test_a_model_that_is_gone(tmp_path: Path, metered_models: Path, nobody: HeldPorts) -> None:
    with OtlpCollector() as collector:
        dead = [f"http://127.0.0.1:{nobody.numbers[0]}"]
        options = ("--traces", collector.url, "--model-wait-s", "0")
        with (
            command_gateway(tmp_path, metered_models, dead, *options, until=ALIVE) as gateway,
            gateway.client(gateway.key()) as client,
        ):
            assert ask(client).status_code == 503
        (root,) = [
            span
            for span in collector.spans()
            if not span.parent_span_id and span.name == "POST /v1/summaries"
        ]
    assert attributes(root)["error.type"] == "overloaded"
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert not root.events  # an exception's words may be a client's


def test_a_receiver_that_is_gone_costs_no_request(
    tmp_path: Path, metered_models: Path, model_server: RunningServer, nobody: HeldPorts
) -> None:
    options = ("--traces", f"http://127.0.0.1:{nobody.numbers[0]}")
    with (
        command_gateway(tmp_path, metered_models, [model_server.rest_url], *options) as gateway,
        gateway.client(gateway.key()) as client,
    ):
        assert [ask(client).status_code for _ in range(3)] == [200] * 3
    assert [line["status"] for line in gateway.lines() if line["event"] == "request"] == [
        200
    ] * 3


def test_an_address_that_is_none(tmp_path: Path) -> None:
    command = ["gateway", "--prices", "examples/prices.toml"]
    command += ["--database", f"sqlite:///{tmp_path}/ledger.sqlite"]
    # OpenTelemetry's own variable says it as well as the option.
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318", "COLUMNS": "300"}
    result = CliRunner(env=environment).invoke(app, command)
    assert result.exit_code == 2, result.output
    assert "such as http://127.0.0.1:4318. Received: 'collector:4318'" in result.output


def test_traces_without_what_sends_them(tmp_path: Path) -> None:
    gateway = GatewayProcess(
        Path("examples/prices.toml"),
        tmp_path,
        ["http://127.0.0.1:9"],
        tmp_path / "log",
        *("--traces", "http://127.0.0.1:4318"),
        database=f"sqlite:///{tmp_path}/ledger.sqlite",
        environment={**os.environ, "COLUMNS": "300"},
        setup="import sys; sys.modules['opentelemetry.exporter'] = None",
    )
    with gateway:
        assert gateway.wait() == 2
    assert "Install 'tallygraph[gateway,tracing]'" in (tmp_path / "log").read_text()


def test_without_an_address_nothing_is_imported_that_sends_traces() -> None:
    # Other parts of OpenTelemetry may be: Redis's client looks for them.
    program = (
        "import sys, serving.gateway.running as r; r.open_tracer(None); "
        "sends = ('opentelemetry.exporter', 'opentelemetry.sdk.trace'); "
        "print([name for name in sys.modules if name.startswith(sends)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
