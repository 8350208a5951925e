"""Statuses of TensorFlow Serving's API: one table, for servers and clients, REST and gRPC."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, Self


class Kind(Enum):
    """What a status means to whoever asked."""

    OK = "answered"
    BUSY = "not begun to compute: it, or another server, may be asked again"
    ABSENT = "not begun to compute: another server may have it"
    REQUEST = "the request's fault: no server will answer it"
    SLOW = "too slow: it may have been computed"
    SERVER = "the server's fault, or whoever runs it"


class Code(IntEnum):
    """Canonical status codes. The numbers are those of gRPC and of TensorFlow.

    Attributes:
      http_status: as in TensorFlow Serving's http_server.cc.
      kind: what it means.
    """

    http_status: int
    kind: Kind

    def __new__(cls, number: int, http_status: int, kind: Kind) -> Self:
        code = int.__new__(cls, number)
        code._value_ = number
        code.http_status = http_status
        code.kind = kind
        return code

    OK = 0, 200, Kind.OK
    CANCELLED = 1, 499, Kind.SERVER
    UNKNOWN = 2, 500, Kind.SERVER
    INVALID_ARGUMENT = 3, 400, Kind.REQUEST
    DEADLINE_EXCEEDED = 4, 504, Kind.SLOW
    NOT_FOUND = 5, 404, Kind.ABSENT
    ALREADY_EXISTS = 6, 409, Kind.SERVER
    PERMISSION_DENIED = 7, 403, Kind.SERVER
    RESOURCE_EXHAUSTED = 8, 429, Kind.BUSY
    FAILED_PRECONDITION = 9, 400, Kind.REQUEST
    ABORTED = 10, 409, Kind.SERVER
    OUT_OF_RANGE = 11, 400, Kind.REQUEST
    UNIMPLEMENTED = 12, 501, Kind.SERVER
    INTERNAL = 13, 500, Kind.SERVER
    UNAVAILABLE = 14, 503, Kind.BUSY
    DATA_LOSS = 15, 500, Kind.SERVER
    UNAUTHENTICATED = 16, 401, Kind.SERVER

    @classmethod
    def of_number(cls, number: int) -> Code:
        """The code with a number: UNKNOWN where none has it."""
        return _BY_NUMBER.get(number, cls.UNKNOWN)

    @classmethod
    def of_http(cls, status: int) -> Code:
        """The code of an HTTP status: UNKNOWN where no code has it."""
        return _BY_HTTP.get(status, cls.UNKNOWN)


_BY_NUMBER: Final = {int(code): code for code in Code}
_BY_HTTP: Final = {
    # Of the codes that share a status the first: a 400 is INVALID_ARGUMENT, a 500 is UNKNOWN.
    **{code.http_status: code for code in reversed(Code)},
    408: Code.DEADLINE_EXCEEDED,
    409: Code.ABORTED,
    413: Code.INVALID_ARGUMENT,
}

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
_TOO_LARGE: Final = "message larger than max"


def is_unreachable(code: Code, details: str) -> bool:
    """Whether an error over gRPC is gRPC's own. It says UNAVAILABLE of a connection that it
    cannot make, or that broke; a server that is too busy says the same, in other words."""
    return code is Code.UNAVAILABLE and not details.startswith(_SERVER_IS_BUSY)


def was_sent(details: str) -> bool:
    """Whether a request over gRPC may have reached a server that is unreachable."""
    return not details.startswith(_NOT_SENT)


def is_too_large(code: Code, details: str) -> bool:
    """Whether gRPC refused a message for its size: no server will take it."""
    return code is Code.RESOURCE_EXHAUSTED and _TOO_LARGE in details
