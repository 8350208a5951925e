"""The price book of the gateways that are measured."""

from __future__ import annotations


def price_book(model: str) -> str:
    """One price for a model, in the format of ``prices.toml``."""
    return f"""
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2020-01-01
model = "{model}"
plan = "standard"
price_micro_per_1k_input_tokens = 1000
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
"""
