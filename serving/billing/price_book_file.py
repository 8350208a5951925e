"""A price book that follows its file while a gateway runs.

A changed file is used when it has been read the same twice, so that nobody's half of a file is,
and only as a whole: it must be valid, in the same currency, and have every price that is valid
already just as it was, because charges refer to it. Else the former book stays.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from serving.billing.price import Price
from serving.billing.price_book import PriceBook, PriceBookError
from serving.ledger import Pricing
from serving.ledger.clock import Clock, utc_now

_LOG = logging.getLogger(__name__)
_DIGITS: Final = 16

Told = Callable[[str, bool], object]
"""Of a book's fingerprint, and whether it is used from now on."""


class PriceBookFile:
    """The prices of a file as it was when it was last good. Safe for use by many threads.

    Attributes:
      book: that is in use.
      fingerprint: of its file: the beginning of its SHA-256, in hex.
    """

    def __init__(
        self, path: Path, clock: Clock = utc_now, told: Told = lambda fingerprint, used: None
    ) -> None:
        """
        Args:
          clock: UTC; which prices are valid already.

        Raises:
          PriceBookError: it cannot be used.
        """
        self._path = path
        self._clock = clock
        self._told = told
        self._reading = threading.Lock()
        content = _read(path)
        self.book = PriceBook.parse(content, path)
        self.fingerprint = self._seen = self._refused = _fingerprint(content)
        self._told(self.fingerprint, True)

    @property
    def currency(self) -> str:
        """Of all prices; it never changes."""
        return self.book.currency

    def price(self, model: str, plan: str, day: datetime.date) -> Price:
        """See `serving.billing.price_book.PriceBook.price`."""
        return self.book.price(model, plan, day)

    def pricing(self, price: Price) -> Pricing:
        """See `serving.billing.price_book.PriceBook.pricing`."""
        return self.book.pricing(price)

    def reload(self) -> bool:
        """Use the file as it is now.

        Returns:
          Whether another book is in use now.

        Raises:
          PriceBookError: it cannot be used; the former book stays.
        """
        with self._reading:
            content = _read(self._path)
            self._seen = _fingerprint(content)
            return self._use(content)

    def follow(self) -> bool:
        """Use the file as it is now, if it has changed, stands still and is good; call it now
        and then. What is not good is logged once.

        Returns:
          Whether another book is in use now.
        """
        with self._reading:
            found = ""
            try:
                content = _read(self._path)
                found, before = _fingerprint(content), self._seen
                self._seen = found
                if found == self.fingerprint:
                    self._refused = found
                if found != before or found == self._refused:
                    return False
                return self._use(content)
            except PriceBookError as error:
                self._refuse(found, error)
                return False

    def _use(self, content: bytes) -> bool:
        found = _fingerprint(content)
        if found == self.fingerprint:
            return False
        book = PriceBook.parse(content, self._path)
        self._check_successor(book)
        self.book, former, self.fingerprint = book, self.fingerprint, found
        self._told(found, True)
        _LOG.info(
            "The price book %s has changed: %s is in use, no longer %s",
            self._path,
            found,
            former,
        )
        return True

    def _check_successor(self, book: PriceBook) -> None:
        if book.currency != self.book.currency:
            raise PriceBookError(
                f"The price book's currency cannot change while a gateway runs. Expected: "
                f"{self.book.currency}. Received: {book.currency}"
            )
        today, known = self._clock().date(), {price.id: price for price in book.prices}
        for price in self.book.prices:
            if price.valid_from <= today and known.get(price.id) != price:
                raise PriceBookError(
                    f"The price {price.id!r} has been valid since {price.valid_from}, and "
                    f"charges refer to it: it must stay as it was. Add another price instead."
                )

    def _refuse(self, found: str, error: PriceBookError) -> None:
        if self._refused != found:
            self._refused = found
            self._told(found, False)
            _LOG.error(
                "The changed price book is not used, and %s stays in use: %s",
                self.fingerprint,
                error,
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PriceBookError(f"Cannot read the price book {path}: {error}") from None


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
