"""What the client is told where the ledger reserves nothing for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving.gateway.errors import GatewayError
from serving.ledger import (
    BudgetExceededError,
    IdempotencyConflictError,
    RequestInProgressError,
    TooManyAtOnceError,
)


@contextmanager
def refusals_told() -> Iterator[None]:
    """
    Raises:
      GatewayError: for the ledger's refusal.
    """
    try:
        yield
    except BudgetExceededError as error:
        raise GatewayError(
            429, str(error), "insufficient_quota", "insufficient_quota", limit="budget"
        ) from None
    except TooManyAtOnceError as error:
        raise GatewayError(
            429,
            str(error),
            "rate_limit_error",
            "too_many_at_once",
            retry_after_s=1,
            limit="concurrency",
        ) from None
    except IdempotencyConflictError as error:
        raise GatewayError(
            409, str(error), code="idempotency_key_reused", param="Idempotency-Key"
        ) from None
    except RequestInProgressError as error:
        raise GatewayError(
            409, str(error), code="request_in_progress", retry_after_s=1
        ) from None
