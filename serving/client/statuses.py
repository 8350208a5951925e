"""Statuses of TensorFlow Serving's API, for every client of it: over REST and over gRPC."""

from __future__ import annotations

from typing import Final

CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Canonical codes by the HTTP status: TensorFlow Serving's own table, read backwards."""

NOT_FOUND: Final = "NOT_FOUND"

TOO_BUSY: Final = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
"""Codes of a server that has not begun to compute: it, or another one, may be asked again."""

NO_THREAD_LEFT: Final = "Server Threadpool Exhausted"
"""TensorFlow Serving's words over gRPC when each of its threads has a request. It has few by
default: this comes long before it is busy computing, and is over when one is answered."""

_NOT_SENT: Final = (
    "failed to connect",
    "connections to all backends failing",
    "empty address list",
    "errors resolving",
    "DNS resolution failed",
)
# TensorFlow Serving's own words, and our model server's, for what it has not begun to compute.
_SERVER_IS_BUSY: Final = (
    "The batch scheduling queue",
    "The server is busy",
    "The server is stopping",
)


def is_unreachable(code: str, details: str) -> bool:
    """Whether an error over gRPC is gRPC's own. It says UNAVAILABLE of a connection that it
    cannot make, or that broke; a server that is too busy says the same, in other words."""
    return code == "UNAVAILABLE" and not details.startswith(_SERVER_IS_BUSY)


def was_sent(details: str) -> bool:
    """Whether a request over gRPC may have reached a server that is unreachable."""
    return not details.startswith(_NOT_SENT)
