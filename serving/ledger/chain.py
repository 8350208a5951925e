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
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import orjson

from serving.ledger.records import SCHEMA_VERSION, Entry

FIRST_HASH: Final = "0" * 64
"""What a tenant's first entry has as its previous hash."""

_NAMES: Final = tuple(field.name for field in fields(Entry))
HASHED: Final = tuple(name for name in _NAMES if name not in ("hash", "code"))
"""The fields that are hashed, in their order."""

_LENGTHS: Final = {
    1: HASHED.index("previous_hash") + 1,
    2: HASHED.index("work_hash") + 1,
    3: len(HASHED),
}
_VALUES: Final = attrgetter(*HASHED)
_SCHEMA_VERSION: Final = HASHED.index("schema_version")
_CREATED_AT: Final = HASHED.index("created_at")
_NUMBER: Final = HASHED.index("number")
_PREVIOUS: Final = HASHED.index("previous_hash")
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_MICROSECOND: Final = datetime.timedelta(microseconds=1)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def entry_hash(entry: Entry) -> str:
    """The hash that an entry must have; its own is not read."""
    return hash_of(_VALUES(entry))


def hash_at(entry: Entry, number: int, previous: str) -> str:
    """The hash that an entry will have at a place of its chain.

    Args:
      previous: the hash of the entry before it.
    """
    values = list(_VALUES(entry))
    values[_NUMBER], values[_PREVIOUS] = number, previous
    return hash_of(values)


def hash_of(hashed: Sequence[Any]) -> str:
    """The same of an entry's fields as they were read from a database.

    Args:
      hashed: in the order of `HASHED`, what follows is not hashed; the time as a datetime or
        as SQLite keeps it.
    """
    length = _LENGTHS.get(hashed[_SCHEMA_VERSION], _LENGTHS[SCHEMA_VERSION])
    values = list(hashed)
    del values[length:]
    values[_CREATED_AT] = _microseconds(values[_CREATED_AT])
    try:
        text = orjson.dumps(values)
    except orjson.JSONEncodeError:  # what UTF-8 cannot say, or more than 64 bits
        text = _ENCODER.encode(values).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


def _microseconds(moment: datetime.datetime | str) -> int:
    """Since 1970, UTC."""
    if isinstance(moment, str):
        moment = datetime.datetime.fromisoformat(moment)
    return (moment - _EPOCH) // _MICROSECOND
