"""Traces of requests, if they are wanted."""

from serving.gateway.ops.tracing.opening import TracingError, open_tracer
from serving.gateway.ops.tracing.tracer import NO_TRACES, NOTHING, Tracer

__all__ = ["NOTHING", "NO_TRACES", "Tracer", "TracingError", "open_tracer"]
