"""What several reference pages need to write."""

from __future__ import annotations

import re
from dataclasses import MISSING
from typing import Any

from docstring_parser import parse


def cell(text: object) -> str:
    """A text that may stand in a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def code(text: object) -> str:
    """A text as code that may stand in a table; nothing for nothing."""
    plain = str(text)
    return f"`{cell(plain)}`" if plain else ""


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: reStructuredText's literals become Markdown's."""
    return re.sub(r"``(.+?)``", r"`\1`", docstring or "")


def attribute_meanings(documented: type) -> dict[str, str]:
    """What the ``Attributes:`` of a class's docstring say of each."""
    meanings = {}
    for attribute in parse(documented.__doc__ or "").params:
        for name in attribute.arg_name.split(","):
            meanings[name.strip()] = prose(attribute.description)
    return meanings


def default_of(field: Any) -> str:
    """The default of a dataclass's field; empty where it must be given."""
    return "" if field.default is MISSING else repr(field.default)
