"""A ledger that is written to at times of the test's choosing, and details for its invoices."""

from __future__ import annotations

import datetime
from typing import Any, Final

import sqlalchemy as sa

from serving.ledger import Charge, ChargePart, Entry, Ledger, Reservation, Usage

DETAILS: Final = """
[seller]
name = "Example Summaries GmbH"
address = ["Hauptstrasse 1", "10115 Berlin"]
tax_id = "DE123456789"
payment = ["IBAN DE02 1203 0000 0000 2020 51"]

[invoice]
number_prefix = "INV-"
due_days = 14
taxes = [{ name = "VAT", percent = 19 }]

[buyers.acme]
name = "Acme Ltd"
address = ["1 High Street", "London"]
notes = ["Thank you."]
"""


class Book:
    """Charges, by amount and time."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.now = datetime.datetime(2026, 11, 1)
        self.ledger = Ledger(engine, "gateway-0", lambda: self.now)
        self._requests = 0

    def charge(self, amount: int, at: str, tenant: str = "acme", **changes: Any) -> Entry:
        """
        Args:
          changes: of model, price_id, currency; parts.
        """
        self._requests += 1
        self.now = datetime.datetime.fromisoformat(at)
        request_id = f"request-{self._requests}"
        self.ledger.reserve(Reservation(request_id, tenant, amount, "0" * 64))
        values = {"model": "summarizer", "price_id": "2026", "currency": "EUR", **changes}
        usage = Usage(values["model"], "7", "f", 1, 10, 2, 3, "stop", 5)
        parts: tuple[ChargePart, ...] = values.get("parts", ())
        price = Charge(amount, values["currency"], values["price_id"], parts)
        return self.ledger.settle(request_id, usage, price, b"answer")
