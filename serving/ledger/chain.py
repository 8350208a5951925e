"""The hash of an entry, which holds the one before it.

SHA-256 (FIPS 180-4) of the entry's fields but for the hash itself and its code, as a JSON array
in the order of the class, with no spaces, texts in UTF-8 and the time as microseconds since
1970, UTC.

The schema version of an entry says which fields these are. Version 1 has those up to ``hash``:
entries that were written before there were positions and parts. Version 2 has those up to
``work_hash``, version 3 all of them. From version 2 on, the version itself is among them, so
that no entry can be passed off as one of another version.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import fields
from operator import attrgetter
from typing import Final

from serving.ledger.records import SCHEMA_VERSION, Entry

FIRST_HASH: Final = "0" * 64
"""What a tenant's first entry has as its previous hash."""

_NAMES: Final = tuple(field.name for field in fields(Entry))
_HASHED: Final = tuple(name for name in _NAMES if name not in ("hash", "code"))
_VALUES: Final = {
    1: attrgetter(*_HASHED[: _HASHED.index("previous_hash") + 1]),
    2: attrgetter(*_HASHED[: _HASHED.index("work_hash") + 1]),
    3: attrgetter(*_HASHED),
}
_CREATED_AT: Final = _HASHED.index("created_at")
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def entry_hash(entry: Entry) -> str:
    """The hash that an entry must have; its own is not read."""
    values = list(_VALUES.get(entry.schema_version, _VALUES[SCHEMA_VERSION])(entry))
    values[_CREATED_AT] = (entry.created_at - _EPOCH) // _MICROSECOND
    text = _ENCODER.encode(values)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
