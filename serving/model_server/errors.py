"""The model server's error class, with its code in each protocol."""

from __future__ import annotations

from serving.protocol.statuses import Code


class ServingError(Exception):
    """A request, model or configuration that cannot be served.

    Attributes:
      code: the canonical code; ``UNAVAILABLE``, ``DEADLINE_EXCEEDED`` and
        ``RESOURCE_EXHAUSTED`` are worth a retry, the others are not.
      message: TensorFlow Serving's message in the same case, if it is known.
      http_status: the REST status, if it is not the code's usual one.
    """

    def __init__(self, code: Code, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = code.http_status if http_status is None else http_status

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid_argument(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    return ServingError(Code.NOT_FOUND, message)


def failed_precondition(message: str) -> ServingError:
    return ServingError(Code.FAILED_PRECONDITION, message)
