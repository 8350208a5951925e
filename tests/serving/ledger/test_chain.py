"""An entry's hash is that of its JSON, whatever its texts are, however it was read."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.ledger import Entry
from serving.ledger.chain import HASHED, entry_hash, hash_of
from serving.ledger.sql import _time_to_text

TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\x7f", "\u2028", "\ud800", '"\\/', "\x00\x1f\b\f\n\r\t", "é😀"]
)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**70), 2**70)
TIMES = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    values: dict[str, Any] = {
        name: draw(INTEGERS if field.type == "int" else TEXTS)
        for name, field in Entry.__dataclass_fields__.items()
    }
    return Entry(**values | {"created_at": draw(TIMES), "schema_version": 3})


@given(entries())
def test_it_is_the_hash_of_the_fields_as_json(entry: Entry) -> None:
    values = [getattr(entry, name) for name in HASHED]
    epoch = datetime.datetime(1970, 1, 1)
    at = HASHED.index("created_at")
    as_json = [*values]
    as_json[at] = (entry.created_at - epoch) // datetime.timedelta(microseconds=1)
    text = json.dumps(as_json, ensure_ascii=False, separators=(",", ":"))
    expected = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert entry_hash(entry) == expected
    values[at] = _time_to_text(entry.created_at)  # as SQLite has it
    assert hash_of(values) == expected
