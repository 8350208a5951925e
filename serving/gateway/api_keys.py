"""API keys as texts: how one is made, taken apart and recognised, and what one may be for.

A key is ``tg_<id>_<secret>``. The id names it in commands and the admin API; the secret is 256
random bits, of which only a hash is stored.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

ALL: Final = "*"
"""Among a key's models, or its scopes: all that there are, or will be."""

SUMMARIES: Final = "summaries"
COUNT_TOKENS: Final = "count_tokens"
MODELS: Final = "models"
USAGE: Final = "usage"
SCOPES: Final = (SUMMARIES, COUNT_TOKENS, MODELS, USAGE)
"""What a key may be for: summaries in all of the API's shapes, counts of tokens, the list of
models, the usage of its tenant."""

_PREFIX: Final = "tg"
_KEY: Final = re.compile(rf"{_PREFIX}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")


def new_key_id() -> str:
    """A random id."""
    return secrets.token_hex(8)


def new_secret() -> str:
    """A random secret."""
    return secrets.token_urlsafe(32)


def whole_key(key_id: str, secret: str) -> str:
    """The key that a client sends."""
    return f"{_PREFIX}_{key_id}_{secret}"


def parts_of(key: str) -> tuple[str, str] | None:
    """Id and secret of a key; None where the text is not one."""
    match = _KEY.fullmatch(key)
    return (match[1], match[2]) if match else None


def contains_key(text: str) -> bool:
    """Whether a text has what looks like a key in it, which must not be written down."""
    return _KEY.search(text) is not None
