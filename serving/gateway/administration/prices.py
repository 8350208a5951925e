"""The price book: its plans, and read again."""

from __future__ import annotations

from typing import Protocol

from serving.billing import PriceBook
from serving.gateway.administration.administrator import Administrator
from serving.ledger.database import writing


class Prices(Protocol):
    """A price book that follows its file: `serving.billing.price_book_file.PriceBookFile`."""

    book: PriceBook
    fingerprint: str

    def reload(self) -> bool: ...


def reload_prices(by: Administrator, prices: Prices) -> bool:
    """Use the price book's file as it is now, in this process.

    Returns:
      Whether another book is in use now.

    Raises:
      PriceBookError: it cannot be used; the former one stays.
    """
    before = {"fingerprint": prices.fingerprint, "prices": _ids(prices.book)}
    changed = prices.reload()
    if changed:
        after = {"fingerprint": prices.fingerprint, "prices": _ids(prices.book)}
        with writing(by.engine) as connection:
            by.record(connection, "prices.reload", "", "price book", before, after)
    return changed


def _ids(book: PriceBook) -> list[str]:
    return [price.id for price in book.prices]
