"""What the ledger refuses, and why. None of these has written anything."""

from __future__ import annotations

from typing import ClassVar

from serving.ledger.records import KeyBudget


class LedgerError(RuntimeError):
    """Base of every error of the ledger. Nothing was written. Not worth a retry."""


class BudgetExceededError(LedgerError):
    """The most that the request can cost is more than the tenant, or its key, has left this
    month.

    Attributes:
      budget_micro, used_micro, asked_micro: the month's budget, what of it is spent or
        reserved, and what was asked for.
    """

    whose: ClassVar = ""

    def __init__(self, budget_micro: int, used_micro: int, asked_micro: int) -> None:
        super().__init__(
            f"The budget {self.whose}of this month is {budget_micro} millionths, of which "
            f"{used_micro} are spent or reserved. Requested: {asked_micro}. Raise the budget, "
            "lower the limit of output tokens, or wait for the next month."
        )
        self.budget_micro = budget_micro
        self.used_micro = used_micro
        self.asked_micro = asked_micro


class CreditExhaustedError(LedgerError):
    """The most that the request can cost is more than is left of what the tenant has paid in
    advance.

    Attributes:
      left_micro, asked_micro: what is neither charged nor reserved, and what was asked for.
    """

    def __init__(self, left_micro: int, asked_micro: int) -> None:
        super().__init__(
            f"Of the prepaid credit, {left_micro} millionths are neither spent nor reserved. "
            f"Requested: {asked_micro}. Top the credit up, or lower the limit of output tokens."
        )
        self.left_micro = left_micro
        self.asked_micro = asked_micro


class KeyBudgetExceededError(BudgetExceededError):
    """It is the budget of the API key that does not suffice.

    Attributes:
      budget: that one.
    """

    whose: ClassVar = "of the API key "

    def __init__(self, budget: KeyBudget, asked_micro: int) -> None:
        super().__init__(budget.limit_micro, budget.used_micro, asked_micro)
        self.budget = budget


class TooManyAtOnceError(LedgerError):
    """As many of the tenant's requests as may be are under way. Worth a retry."""


class IdempotencyConflictError(LedgerError):
    """The idempotency key has been used for a request with another body."""


class RequestInProgressError(LedgerError):
    """A request with this idempotency key is under way. Worth a retry after a moment."""


class UndeliveredInProgressError(RequestInProgressError):
    """An identical request, whose client went away, is still computed: its answer will belong
    to this one. Worth a retry after a moment."""


class AnswerExpiredError(LedgerError):
    """The request of this idempotency key was charged, and its answer is no longer kept. It is
    not charged again."""


class UnknownRequestError(LedgerError):
    """There is no reservation of this id that waits to be settled or released."""


class ReservationLostError(UnknownRequestError):
    """What was reserved for the request has been released: nothing is charged for it. The
    process was stopped for longer than its lease. Worth a retry of the whole request."""


class UnknownTenantError(LedgerError):
    """The ledger has no such tenant."""
