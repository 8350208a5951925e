"""Validates one ``[[prices]]`` table of a price book, and converts it to a price."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, Final

from serving.billing.price import Price, Tier
from serving.billing.toml_lines import Path

MAX_PRICE_MICRO: Final = 10**12
MAX_TOKENS: Final = 10**15
MAX_TIERS: Final = 16
Problem = tuple[Path, str]
"""The path of a value in the document, or in the table, and what is wrong with it."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def price_from_table(table: dict[str, Any]) -> Price:
    """Return the price in a table that has no `price_problems`."""
    tiers = {
        name: tuple(Tier(**tier) for tier in value)
        for name, value in table.items()
        if name.endswith("_tiers")
    }
    return Price(**(table | tiers))


def price_problems(table: Any) -> list[Problem]:
    """Return everything that is wrong with a table; nothing if it is a valid price."""
    if not isinstance(table, dict):
        return [((), "must be a table")]
    known = {field.name: field.default is MISSING for field in fields(Price)}
    problems: list[Problem] = [
        ((), f"{name} is missing") for name in known if known[name] and name not in table
    ]
    problems += [((name,), f"unknown: {name}") for name in set(table) - set(known)]
    for name in set(known) & set(table):
        problems += [((name,), problem) for problem in _value_problems(name, table)]
    return problems


def _value_problems(name: str, table: dict[str, Any]) -> Iterator[str]:
    value = table[name]
    if name.startswith("price_"):
        yield from _integer_problems(name, value, MAX_PRICE_MICRO)
    elif name.startswith("free_"):
        yield from _integer_problems(name, value, MAX_TOKENS)
    elif name.endswith("_tiers"):
        free = table.get(f"free_{name.removesuffix('_tiers')}_tokens", 0)
        yield from _tier_problems(name, value, free)
    elif name == "valid_from":
        if type(value) is not datetime.date:
            yield f"{name} must be a date (2026-11-01). Received: {value!r}"
    elif not isinstance(value, str) or not _NAME.fullmatch(value):
        yield (
            f"{name} must be at most 63 letters, digits, '_', '.' and '-', and begin with a "
            f"letter or digit. Received: {value!r}"
        )


def _integer_problems(name: str, value: Any, most: int) -> Iterator[str]:
    if type(value) is not int or value < 0:
        yield f"{name} must be an integer of 0 or more. Received: {value!r}"
    elif value > most:
        yield f"{name} must be at most {most}. Received: {value}"


def _tier_problems(name: str, tiers: Any, free: Any) -> Iterator[str]:
    """
    Args:
      free: tokens of the allowance; whatever the table has.
    """
    names = {field.name for field in fields(Tier)}
    if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
        yield f"{name} must be an array of tables. Received: {tiers!r}"
        return
    if len(tiers) > MAX_TIERS:
        yield f"{name} must have at most {MAX_TIERS} tiers. Received: {len(tiers)}"
    begun = free if type(free) is int else 0
    for place, tier in enumerate(tiers, start=2):
        where = f"{name}, tier {place}"
        if set(tier) != names:
            yield (
                f"{where} must have the keys {', '.join(sorted(names))}. "
                f"Received: {sorted(tier)}"
            )
            continue
        above = tier["above_tokens"]
        wrong = list(_integer_problems(f"{where}: above_tokens", above, MAX_TOKENS))
        if not wrong and above <= begun:
            wrong = [f"{where}: above_tokens must be more than {begun}. Received: {above}"]
        yield from wrong
        yield from _integer_problems(
            f"{where}: price_micro_per_1k_tokens",
            tier["price_micro_per_1k_tokens"],
            MAX_PRICE_MICRO,
        )
        begun = above if type(above) is int else begun
