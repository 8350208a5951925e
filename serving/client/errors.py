"""Errors between a client and a model server."""

from __future__ import annotations


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


class RefusedError(ClientError):
    """The server responded with an error; the message is the server's own.

    Worth a retry only if ``code`` is ``UNAVAILABLE`` or ``RESOURCE_EXHAUSTED``.

    Attributes:
      code: the canonical status code's name, such as ``NOT_FOUND``. Over REST it is derived
        from the HTTP status, so it is ``INVALID_ARGUMENT`` for every 400.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class BadAnswerError(ClientError):
    """The server's response is not that of a metered model. Never worth a retry."""
