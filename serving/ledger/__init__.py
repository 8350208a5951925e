"""The usage ledger: what was asked, what it counted, what it cost, once and for ever.

Needs no TensorFlow. `Ledger` is the way in; `README.md` states what always holds.
"""

from serving.ledger.ledger import Ledger
from serving.ledger.parts import ChargePart
from serving.ledger.records import (
    BudgetExceededError,
    Charge,
    Entry,
    IdempotencyConflictError,
    LedgerError,
    Pricing,
    Replay,
    RequestInProgressError,
    Reservation,
    ReservationLostError,
    Reserved,
    TokensBefore,
    TooManyAtOnceError,
    UnknownRequestError,
    UnknownTenantError,
    Usage,
)

__all__ = [
    "BudgetExceededError",
    "Charge",
    "ChargePart",
    "Entry",
    "IdempotencyConflictError",
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
    "UnknownRequestError",
    "UnknownTenantError",
    "Usage",
]
