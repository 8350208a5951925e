"""What a client gets when no model server gives an answer.

The servers themselves raise ``serving.protocol.errors``, whichever protocol they are asked by;
here is what each of those means to a client of the gateway.
"""

from __future__ import annotations

from serving.gateway.errors import GatewayError, bad_request, overloaded
from serving.protocol.errors import (
    BadAnswerError,
    RefusedError,
    TooSlowError,
    UnreachableError,
)
from serving.protocol.statuses import Kind


class BackendError(ValueError):
    """Settings of the model servers that cannot be used; the message says why."""


def refusal(error: UnreachableError | RefusedError | BadAnswerError) -> GatewayError:
    """What a client gets for what a server, or nobody, said."""
    if isinstance(error, TooSlowError):
        return took_too_long()
    if isinstance(error, UnreachableError):
        # Why, and which one, is in the log: the client may not know where the servers are.
        what = "The model server did not respond. Nothing was charged."
        return GatewayError(502, what, "server_error", "no_answer")
    if isinstance(error, BadAnswerError):
        return broken(error.message)
    if error.kind is Kind.BUSY:
        return overloaded("The model is busy. Try again in a moment.")
    if error.kind is Kind.SLOW:
        return took_too_long()
    if error.kind is Kind.REQUEST:
        return bad_request(f"The model rejected the request: {error.message}")
    return broken(f"{error.code}: {error.message}")


def took_too_long() -> GatewayError:
    return GatewayError(504, "The model took too long.", "server_error", "model_timeout")


def broken(what: str) -> GatewayError:
    return GatewayError(
        502,
        f"The model server's response is not that of a metered model: {what}",
        "server_error",
        "bad_answer",
    )
