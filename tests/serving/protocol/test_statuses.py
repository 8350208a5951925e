"""The one table of statuses, against gRPC's own; and whose words an error of gRPC's is."""

from __future__ import annotations

import grpc
import pytest

from serving.protocol.errors import (
    ClientError,
    RefusedError,
    TooSlowError,
    UnreachableError,
    grpc_failure,
)
from serving.protocol.statuses import Code, Kind


def test_the_codes_are_those_of_grpc() -> None:
    assert {code.name: int(code) for code in Code} == {
        status.name: status.value[0] for status in grpc.StatusCode
    }
    assert [Code.of_number(number) for number in (0, 5, 99)] == [
        Code.OK,
        Code.NOT_FOUND,
        Code.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, Code.OK, Kind.OK),
        (400, Code.INVALID_ARGUMENT, Kind.REQUEST),
        (401, Code.UNAUTHENTICATED, Kind.SERVER),
        (403, Code.PERMISSION_DENIED, Kind.SERVER),
        (404, Code.NOT_FOUND, Kind.ABSENT),
        (408, Code.DEADLINE_EXCEEDED, Kind.SLOW),
        (409, Code.ABORTED, Kind.SERVER),
        (413, Code.INVALID_ARGUMENT, Kind.REQUEST),
        (429, Code.RESOURCE_EXHAUSTED, Kind.BUSY),
        (499, Code.CANCELLED, Kind.SERVER),
        (500, Code.UNKNOWN, Kind.SERVER),
        (501, Code.UNIMPLEMENTED, Kind.SERVER),
        (502, Code.UNKNOWN, Kind.SERVER),
        (503, Code.UNAVAILABLE, Kind.BUSY),
        (504, Code.DEADLINE_EXCEEDED, Kind.SLOW),
    ],
)
def test_what_an_http_status_means(status: int, code: Code, kind: Kind) -> None:
    assert (Code.of_http(status), Code.of_http(status).kind) == (code, kind)


def test_a_code_and_its_http_status_mean_the_same() -> None:
    """Nobody is told another thing over REST than over gRPC."""
    for code in Code:
        assert Code.of_http(code.http_status).kind is code.kind


def failure(code: str, details: str) -> ClientError:
    return grpc_failure(Code[code], details)


@pytest.mark.parametrize(
    ("code", "details", "kind", "sent"),
    [
        # As gRPC and TensorFlow Serving say it.
        ("UNAVAILABLE", "failed to connect to all addresses; ...", UnreachableError, False),
        ("UNAVAILABLE", "DNS resolution failed for nowhere:8500: ...", UnreachableError, False),
        ("UNAVAILABLE", "Socket closed", UnreachableError, True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", TooSlowError, True),
    ],
)
def test_there_was_no_answer(
    code: str, details: str, kind: type[UnreachableError], sent: bool
) -> None:
    error = failure(code, details)
    assert isinstance(error, UnreachableError)
    assert (type(error), error.was_sent) == (kind, sent)
    assert str(error) == f"{code}: {details}"


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "The server is busy: 64 requests are waiting", Kind.BUSY),
        ("UNAVAILABLE", "The batch scheduling queue to which this task ... is full", Kind.BUSY),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", Kind.BUSY),
        ("NOT_FOUND", "Servable not found for request: Latest(what)", Kind.ABSENT),
        # Too large for any server: asking again changes nothing.
        (
            "RESOURCE_EXHAUSTED",
            "SERVER: Received message larger than max (9 vs. 4)",
            Kind.REQUEST,
        ),
        ("INTERNAL", "what", Kind.SERVER),
    ],
)
def test_a_server_refused(code: str, details: str, kind: Kind) -> None:
    error = failure(code, details)
    assert isinstance(error, RefusedError)
    assert (error.kind, error.message) == (kind, details)


def test_what_a_proxy_wrote_is_not_in_the_message() -> None:
    error = RefusedError(Code.UNKNOWN, "HTTP 502", received="<b>upstream 10.0.0.7</b>")
    assert error.message == "HTTP 502"
    assert str(error) == "UNKNOWN: HTTP 502. Received: <b>upstream 10.0.0.7</b>"
