"""Traces by OpenTelemetry, sent as OTLP over HTTP. Imported only where they are wanted.

Sampling and the service's name follow OpenTelemetry's own environment variables.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    format_trace_id,
    set_span_in_context,
)

from serving.gateway.errors import GatewayError
from serving.gateway.ops.operations import OPERATIONS, PROVIDER
from serving.gateway.ops.request_record import RequestRecord
from serving.gateway.ops.tracing.tracer import NOTHING, Tracer

_SERVICE: Final = "tallygraph-gateway"
_PATH: Final = "/v1/traces"


class OtlpTracer(Tracer):
    """Sends spans in batches, from a thread of its own.

    A receiver that is gone costs nothing but the spans. No span records an exception: its
    message may quote what it choked on.
    """

    def __init__(self, endpoint: str) -> None:
        """
        Args:
          endpoint: such as ``http://127.0.0.1:4318``.
        """
        resource = Resource({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_SERVICE)

    @contextlib.contextmanager
    def request(self, record: RequestRecord) -> Iterator[None]:
        parent = None
        if record.trace_id:
            remote = SpanContext(
                int(record.trace_id, 16),
                int(record.parent_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(int(record.trace_flags, 16)),
            )
            parent = set_span_in_context(NonRecordingSpan(remote))
        with self._tracer.start_as_current_span(
            record.method,
            context=parent,
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            record.trace_id = format_trace_id(span.get_span_context().trace_id)
            try:
                yield
            finally:
                _describe(span, record)

    @contextlib.contextmanager
    def part(self, name: str, attributes: Mapping[str, str | int] = NOTHING) -> Iterator[None]:
        kind = SpanKind.CLIENT if "gen_ai.operation.name" in attributes else SpanKind.INTERNAL
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=dict(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                code = error.code if isinstance(error, GatewayError) else None
                _failed(span, code or type(error).__name__)
                raise

    def close(self) -> None:
        self._provider.shutdown()


def _describe(span: Span, record: RequestRecord) -> None:
    span.update_name(f"{record.method} {record.route}")
    span.set_attributes(
        {
            "http.request.method": record.method,
            "http.route": record.route,
            # As the gateway knows it: what a client has written there is not recorded.
            "url.path": record.route,
            "url.scheme": "http",
            "tallygraph.request_id": record.request_id,
        }
    )
    for name, value in (
        ("http.response.status_code", record.status),
        ("tallygraph.tenant", record.tenant),
        ("tallygraph.charge_id", record.charge_id),
        ("gen_ai.request.model", record.model),
    ):
        if value:
            span.set_attribute(name, value)
    if record.model:
        span.set_attribute("gen_ai.provider.name", PROVIDER)
        if operation := OPERATIONS.get(record.route):
            span.set_attribute("gen_ai.operation.name", operation)
    if record.model_version:
        span.set_attributes(
            {
                "gen_ai.response.id": record.charge_id,
                "gen_ai.response.model": f"{record.model}-{record.model_version}",
                "gen_ai.response.finish_reasons": record.finish_reasons.split(","),
                "gen_ai.usage.input_tokens": record.input_tokens,
                "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
                "gen_ai.usage.output_tokens": record.output_tokens,
            }
        )
    if record.error:
        span.set_attribute("error.type", record.error)
    # A server's span is in error where the server is: a client's mistake is none.
    if record.status is None or record.status >= 500:
        span.set_status(StatusCode.ERROR)


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
