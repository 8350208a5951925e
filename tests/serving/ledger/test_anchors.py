"""Keys and anchors: what a chain alone cannot tell is found by either, or by both."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving.ledger import Entry, Ledger, Reservation, schema
from serving.ledger.anchors import (
    AnchorError,
    append_to,
    make_anchor,
    put_into_outbox,
    read_anchors,
)
from serving.ledger.authentication import KeyFileError, LedgerKey
from serving.ledger.chain import FIRST_HASH, entry_hash
from serving.ledger.database import writing
from serving.ledger.outbox import deliver, to_file
from serving.ledger.verification import check
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]
Fill = Callable[..., None]
KEY, OTHER = LedgerKey(b"k" * 32), LedgerKey(b"o" * 32)
ENTRIES = schema.entries


@pytest.fixture
def fill(engine: sa.Engine, clock: Clock, reservation: Make) -> Fill:
    def fill(count: int, key: LedgerKey | None = None, tenant: str = "acme") -> None:
        ledger = Ledger(engine, "gateway-0", clock, key=key)
        for _ in range(count):
            request = reservation(tenant=tenant)
            ledger.reserve(request)
            ledger.settle(request.request_id, usage(), charge(), b"")

    return fill


def found(engine: sa.Engine, *keys: LedgerKey, anchors: Path | None = None) -> list[str]:
    known = read_anchors([anchors] if anchors else [], keys)
    return [*known.findings, *map(str, check(engine, None, keys, known.ends).findings)]


def forge(engine: sa.Engine, upto: int | None, **changes: Any) -> None:
    """Write a tenant's chain anew, with everything made to fit; or delete what comes after."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            for trigger in ("entries_are_for_ever", "entries_are_archived"):
                connection.execute(sa.text(f"DROP TRIGGER {trigger} ON entries"))
        else:
            for change in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER entries_no_{change}"))
        if upto is not None:
            gone = sa.select(ENTRIES.c.request_id).where(ENTRIES.c.number > upto)
            connection.execute(
                schema.requests.delete().where(schema.requests.c.request_id.in_(gone))
            )
            connection.execute(ENTRIES.delete().where(ENTRIES.c.number > upto))
        rows = connection.execute(sa.select(ENTRIES).order_by(ENTRIES.c.number)).all()
        previous = FIRST_HASH
        for row in rows:
            entry = replace(Entry(**row._mapping), previous_hash=previous, **changes)
            previous = entry_hash(entry)
            connection.execute(
                ENTRIES.update()
                .where(ENTRIES.c.number == entry.number)
                .values(previous_hash=entry.previous_hash, hash=previous, **changes)
            )
        connection.execute(schema.chains.update().values(number=len(rows), hash=previous))
        spent = 700 * len(rows)
        connection.execute(
            schema.accounts.update().values(spent_micro=spent, entry_count=len(rows))
        )
        connection.execute(
            schema.month_tokens.update().values(
                input_tokens=120 * len(rows), output_tokens=30 * len(rows)
            )
        )
        connection.execute(
            schema.daily_usage.update().values(
                requests=len(rows),
                input_tokens=120 * len(rows),
                output_tokens=30 * len(rows),
                amount_micro=spent,
            )
        )


def test_entries_that_were_deleted_at_the_end_are_found_by_an_anchor(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    fill(3)
    append_to(tmp_path / "anchors", make_anchor(engine))
    fill(2)
    assert found(engine, anchors=tmp_path / "anchors") == []
    forge(engine, 2)
    assert found(engine) == []
    (finding,) = found(engine, anchors=tmp_path / "anchors")
    assert finding.startswith(
        "acme: entry 3 is missing, which was its last according to the anchor of 20"
    )


def test_a_chain_that_was_written_anew_is_found_by_an_anchor_and_by_a_key(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    fill(3, KEY)
    append_to(tmp_path / "anchors", make_anchor(engine))
    assert found(engine, KEY) == []
    forge(engine, None, latency_ms=1)
    assert found(engine) == []  # it fits
    (finding,) = found(engine, anchors=tmp_path / "anchors")
    assert finding.startswith("acme, entry 3: has the hash ")
    assert found(engine, KEY) == [
        f"acme, entry {n}: was forged: its authentication code does not match"
        for n in (1, 2, 3)
    ]


def test_what_is_not_authenticated_is_told(engine: sa.Engine, fill: Fill) -> None:
    fill(2)  # before there was a key
    fill(2, KEY)
    assert found(engine, KEY) == []
    assert check(engine, None, [KEY]).unauthenticated == 2
    fill(1)
    assert found(engine, KEY) == ["acme, entry 5: is not authenticated. Entries before it are"]
    fill(1, OTHER)
    assert found(engine, KEY)[1:] == [
        f"acme, entry 6: is authenticated with the key '{OTHER.id}', which was not given"
    ]
    assert len(found(engine, KEY, OTHER)) == 1


def test_a_reversal_has_a_code_of_its_own(engine: sa.Engine, clock: Clock, fill: Fill) -> None:
    fill(1, KEY)
    Ledger(engine, "the command", clock, key=KEY).reverse("acme", 1, "a test", "pat")
    assert found(engine, KEY) == []
    Ledger(engine, "the command", clock)
    assert check(engine, None, [KEY]).unauthenticated == 0


def test_a_tenant_of_whom_nothing_is_left(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    fill(1, tenant="acme")
    fill(2, tenant="beta")
    append_to(tmp_path / "anchors", make_anchor(engine))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            for trigger in ("entries_are_for_ever", "entries_are_archived"):
                connection.execute(sa.text(f"DROP TRIGGER {trigger} ON entries"))
        else:
            connection.execute(sa.text("DROP TRIGGER entries_no_delete"))
        for table in (
            "entries",
            "requests",
            "chains",
            "accounts",
            "month_tokens",
            "daily_usage",
        ):
            connection.execute(sa.text(f"DELETE FROM {table} WHERE tenant = 'beta'"))
    assert found(engine) == []
    (finding,) = found(engine, anchors=tmp_path / "anchors")
    assert finding.startswith("beta: entry 2 is missing, which was its last")


def test_anchors_are_authenticated_and_whole(
    engine: sa.Engine, fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.ledger.anchors.CHAINS_A_LINE", 2)
    for tenant in ("acme", "beta", "gamma"):
        fill(1, KEY, tenant)
    path = tmp_path / "anchors"
    append_to(path, make_anchor(engine, KEY))
    assert found(engine, KEY, anchors=path) == []
    assert read_anchors([path], [KEY]).lines == 2
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n")
    assert found(engine, anchors=path)[0].endswith("1 lines are missing")
    forged = json.loads(first)
    forged["data"]["chains"][0][1] = 0
    path.write_text(f"{json.dumps(forged)}\n{second}\n")
    assert found(engine, KEY, anchors=path) == [
        f"{path}, line 1: the anchor was forged: its authentication code does not match"
    ]
    path.unlink()
    append_to(path, make_anchor(engine))
    assert found(engine, KEY, anchors=path) == [
        f"{path}, line {n}: the anchor is not authenticated" for n in (1, 2)
    ]


def test_an_anchor_is_delivered_with_the_usage_events(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    fill(2)
    lines = make_anchor(engine, KEY)
    with writing(engine) as connection:
        put_into_outbox(connection, lines)
    path = tmp_path / "events.jsonl"
    assert deliver(engine, to_file(path)) == 3
    known = read_anchors([path], [KEY])
    assert (known.lines, known.findings, known.ends["acme"][0].number) == (1, [], 2)


def test_a_torn_last_line_is_found_and_the_lines_before_it_are_checked(
    engine: sa.Engine, fill: Fill, tmp_path: Path
) -> None:
    """Wherever the crash came that stopped its writing, also within a letter."""
    fill(2, tenant="acme")
    fill(1, tenant="größe")
    path = tmp_path / "anchors"
    append_to(path, make_anchor(engine))
    whole = path.read_bytes()
    fill(1)
    append_to(path, make_anchor(engine))
    both = path.read_bytes()
    letter = both.rindex("ö".encode())
    for end in (len(whole) + 1, letter + 1, len(both) - 2):
        path.write_bytes(both[:end])
        known = read_anchors([path])
        assert known.findings == [
            f"{path}, line 2: the last line is torn: whoever wrote it was stopped. Its "
            f"{end - len(whole)} bytes are not checked; the lines before it are. Make another "
            "anchor, and remove this line"
        ]
        assert (known.lines, known.ends["acme"][0].number) == (1, 2)
    # All but its line break: it is whole.
    path.write_bytes(both[:-1])
    known = read_anchors([path])
    assert (known.lines, known.findings) == (2, [])
    # The next anchor begins on a line of its own; a torn one that is not the last is an error.
    path.write_bytes(both[:-2])
    lines = make_anchor(engine)
    append_to(path, lines)
    assert path.read_bytes() == both[:-2] + b"\n" + f"{lines[0]}\n".encode()
    with pytest.raises(AnchorError, match=r"line 2 is not one\. If it was torn by a crash"):
        read_anchors([path])
    path.write_bytes(whole[:9])
    known = read_anchors([path])
    assert (known.lines, len(known.findings)) == (0, 1)


def test_what_is_no_anchor_and_no_key(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(AnchorError, match="Cannot read the anchors"):
        read_anchors([path])
    with pytest.raises(KeyFileError, match="Cannot read the ledger's key"):
        LedgerKey.load(path)
    for text, message in (
        ("what\n", "is not a file of events"),
        ('{"type":"tallygraph.usage"}\n', "contains no anchor"),
        ('{"type":"tallygraph.anchor"}\n', "line 1 is not an anchor"),
    ):
        path.write_text(text)
        with pytest.raises(AnchorError, match=message):
            read_anchors([path])
    with pytest.raises(AnchorError, match="Cannot append to"):
        append_to(tmp_path, ["{}"])
    path.write_text("short\n")
    with pytest.raises(KeyFileError, match=r"at least 32 bytes\. Received: 5"):
        LedgerKey.load(path)
    path.write_text(" " + "k" * 32 + "\n")
    assert LedgerKey.load(path) == KEY
    assert "k" * 5 not in repr(KEY)
