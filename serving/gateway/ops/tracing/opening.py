"""Opens the tracer that an address asks for.

Without an address to send them to, nothing of OpenTelemetry is imported. With one, the extra
``tracing`` must be installed: `serving.gateway.ops.tracing.otlp` does the work.
"""

from __future__ import annotations

from serving.gateway.ops.tracing.tracer import NO_TRACES, Tracer


class TracingError(RuntimeError):
    """Traces are wanted and cannot be made; the message says what to do."""


def open_tracer(endpoint: str | None) -> Tracer:
    """
    Args:
      endpoint: address of an OTLP receiver over HTTP, such as ``http://127.0.0.1:4318``; None
        for no traces.

    Raises:
      TracingError: the address is none, or what makes traces is not installed.
    """
    if endpoint is None:
        return NO_TRACES
    if not endpoint.startswith(("http://", "https://")):
        raise TracingError(
            "The URL of the receiver of traces is not valid. Expected: a URL such as "
            f"http://127.0.0.1:4318. Received: {endpoint!r}"
        )
    try:
        from serving.gateway.ops.tracing.otlp import OtlpTracer
    except ModuleNotFoundError as error:
        raise TracingError(
            f"Traces need a package that is not installed ({error.name}). Install "
            "'tallygraph[gateway,tracing]', or leave out the URL of the receiver of traces."
        ) from None
    return OtlpTracer(endpoint)
