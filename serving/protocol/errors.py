"""Errors between a client and a model server, whichever protocol they speak."""

from __future__ import annotations

from serving.protocol.statuses import Code, is_too_large, is_unreachable, was_sent


class ClientError(RuntimeError):
    """Base of every error of this client."""


class UnreachableError(ClientError):
    """The server did not respond: it is not running, the address is wrong, or it is too slow.

    Attributes:
      was_sent: whether the request may have reached the server, which may then have computed
        it; False if it cannot have.
    """

    def __init__(self, message: str, was_sent: bool = True) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class TooSlowError(UnreachableError):
    """The deadline has passed without a response."""


class RefusedError(ClientError):
    """The server responded with an error; the message is the server's own.

    Worth a retry only if its kind is `Kind.BUSY`: ``UNAVAILABLE`` or ``RESOURCE_EXHAUSTED``.

    Attributes:
      code: the canonical status code's name, such as ``NOT_FOUND``. Over REST it is derived
        from the HTTP status, so it is ``INVALID_ARGUMENT`` for every 400.
      kind: what the code means to whoever asked.
    """

    def __init__(self, code: Code, message: str, received: str = "") -> None:
        """
        Args:
          received: what came instead of an error of TensorFlow Serving's. Only for those who
            run the server: a proxy's page may name what is behind it.
        """
        super().__init__(f"{code.name}: {_with(message, received)}")
        self.code = code.name
        self.kind = code.kind
        self.message = message


class BadAnswerError(ClientError):
    """The server's response is not that of a metered model. Never worth a retry.

    Attributes:
      message: what is wrong with it, without what came.
    """

    def __init__(self, message: str, received: str = "") -> None:
        """
        Args:
          received: the beginning of the response. Only for those who run the server.
        """
        super().__init__(_with(message, received))
        self.message = message


def _with(message: str, received: str) -> str:
    return f"{message}. Received: {received}" if received else message


def grpc_failure(code: Code, details: str) -> ClientError:
    """What an error of gRPC's means."""
    if code is Code.DEADLINE_EXCEEDED:
        return TooSlowError(f"{code.name}: {details}", was_sent=was_sent(details))
    if is_unreachable(code, details):
        return UnreachableError(f"{code.name}: {details}", was_sent=was_sent(details))
    # REST says 413 of what is too large.
    return RefusedError(Code.INVALID_ARGUMENT if is_too_large(code, details) else code, details)
