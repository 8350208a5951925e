"""What a client gets when no model server gives an answer.

The servers themselves raise ``serving.client.errors``, whichever protocol they are asked by;
here is what each of those means to a client of the gateway.
"""

from __future__ import annotations

from typing import Final

from serving.client.errors import BadAnswerError, RefusedError, UnreachableError
from serving.client.statuses import TOO_BUSY
from serving.gateway.errors import GatewayError, bad_request, overloaded

_Failure = UnreachableError | RefusedError | BadAnswerError | TimeoutError
_WRONG_REQUEST: Final = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")


class BackendError(ValueError):
    """Settings of the model servers that cannot be used; the message says why."""


def refusal(error: _Failure) -> GatewayError:
    """What a client gets for what a server, or nobody, said."""
    if isinstance(error, TimeoutError):
        return took_too_long()
    if isinstance(error, UnreachableError):
        # Why, and which one, is in the log: the client may not know where the servers are.
        what = "The model server did not respond. Nothing was charged."
        return GatewayError(502, what, "server_error", "no_answer")
    if isinstance(error, BadAnswerError):
        return broken(str(error))
    if error.code in TOO_BUSY:
        return overloaded("The model is busy. Try again in a moment.")
    if error.code == "DEADLINE_EXCEEDED":
        return took_too_long()
    if error.code in _WRONG_REQUEST:
        return bad_request(f"The model rejected the request: {error.message}")
    return broken(str(error))


def took_too_long() -> GatewayError:
    return GatewayError(504, "The model took too long.", "server_error", "model_timeout")


def broken(what: str) -> GatewayError:
    return GatewayError(
        502,
        f"The model server's response is not that of a metered model: {what}",
        "server_error",
        "bad_answer",
    )
