"""Prices of tokens: the price book, and a request's charge according to it."""

from serving.billing.price import Price, Tier
from serving.billing.price_book import PriceBook, PriceBookError

__all__ = ["Price", "PriceBook", "PriceBookError", "Tier"]
