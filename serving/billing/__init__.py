"""What tokens cost: the price book, and a request's charge by it."""

from serving.billing.price_book import Price, PriceBook, PriceBookError

__all__ = ["Price", "PriceBook", "PriceBookError"]
