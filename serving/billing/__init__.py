"""What tokens cost: the price book, and a request's charge by it."""

from serving.billing.price import Price, Tier
from serving.billing.price_book import PriceBook, PriceBookError

__all__ = ["Price", "PriceBook", "PriceBookError", "Tier"]
