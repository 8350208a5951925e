"""Each value of a TOML file is found on the line on which it begins."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from serving.billing.toml_lines import Lines

TEXT = '''\
# A comment, and nothing else.
currency = "EUR"

[[prices]]  # the first
id = "[[prices]]"
note = """
[[prices]]
id = 3
"""

[[prices]]
"id" = "b"
tiers = [
    { above = 1, price = 2 },
    # in between
    { above = 3, price = 4 },
]
[[prices.tiers2]]
above = 1
[[prices.tiers2]]
above = 2
[buyers."a.b"]
name = "x"
address.city = "y"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("currency",), 2),
        (("prices",), 4),
        (("prices", 0), 4),
        (("prices", 0, "id"), 5),
        (("prices", 0, "note"), 6),
        (("prices", 0, "missing"), 4),
        (("prices", 1), 11),
        (("prices", 1, "id"), 12),
        (("prices", 1, "tiers"), 13),
        (("prices", 1, "tiers", 1, "price"), 13),
        (("prices", 1, "tiers2", 1, "above"), 21),
        (("buyers", "a.b"), 22),
        (("buyers", "a.b", "name"), 23),
        (("buyers", "a.b", "address", "city"), 24),
        (("unknown", "whatever"), 1),
    ],
)
def test_lines(path: tuple[Any, ...], line: int) -> None:
    tomllib.loads(TEXT)
    assert Lines(TEXT)[path] == line
