"""The hash of an entry, which holds the one before it.

SHA-256 (FIPS 180-4) of the entry's fields but for the hash itself, as a JSON array in the order
of the class, with no spaces, texts in UTF-8 and the time as microseconds since 1970, UTC.

Form 1 are the fields up to ``hash``: entries written before there were positions and parts.
Form 2 are all of them, ``form`` among them, so that neither can be passed off as the other.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import fields
from typing import Final

from serving.ledger.records import Entry

FIRST_HASH: Final = "0" * 64
"""What a tenant's first entry has as its previous hash."""

_NAMES: Final = tuple(field.name for field in fields(Entry))
_FIELDS: Final = {
    1: _NAMES[: _NAMES.index("hash")],
    2: tuple(name for name in _NAMES if name != "hash"),
}
_EPOCH: Final = datetime.datetime(1970, 1, 1)


def entry_hash(entry: Entry) -> str:
    """The hash that an entry must have; its own is not read."""
    names = _FIELDS.get(entry.form, _FIELDS[2])
    values = [_plain(getattr(entry, name)) for name in names]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: str | int | datetime.datetime) -> str | int:
    if isinstance(value, datetime.datetime):
        return (value - _EPOCH) // datetime.timedelta(microseconds=1)
    return value
