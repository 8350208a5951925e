"""The usage ledger: what was asked, what it counted, what it cost, once.

Needs no TensorFlow. `Ledger` is the way in; `README.md` states what always holds.
"""

from serving.ledger.errors import (
    AnswerExpiredError,
    BudgetExceededError,
    CreditExhaustedError,
    IdempotencyConflictError,
    KeyBudgetExceededError,
    LedgerError,
    RequestInProgressError,
    ReservationLostError,
    TooManyAtOnceError,
    UndeliveredInProgressError,
    UnknownRequestError,
    UnknownTenantError,
)
from serving.ledger.ledger import Ledger
from serving.ledger.parts import ChargePart
from serving.ledger.records import (
    Charge,
    Entry,
    Pricing,
    Replay,
    Reservation,
    Reserved,
    TokensBefore,
    Undelivered,
    Usage,
)

__all__ = [
    "AnswerExpiredError",
    "BudgetExceededError",
    "Charge",
    "ChargePart",
    "CreditExhaustedError",
    "Entry",
    "IdempotencyConflictError",
    "KeyBudgetExceededError",
    "Ledger",
    "LedgerError",
    "Pricing",
    "Replay",
    "RequestInProgressError",
    "Reservation",
    "ReservationLostError",
    "Reserved",
    "TokensBefore",
    "TooManyAtOnceError",
    "Undelivered",
    "UndeliveredInProgressError",
    "UnknownRequestError",
    "UnknownTenantError",
    "Usage",
]
