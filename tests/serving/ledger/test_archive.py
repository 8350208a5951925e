"""A closed month moves into a file: nothing is lost, and all holds that held."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.billing.audit import audit
from serving.billing.invoice import InvoiceError, make_invoice
from serving.ledger import AnswerExpiredError, Ledger, LedgerError, schema
from serving.ledger.anchors import append_to, make_anchor, read_anchors
from serving.ledger.archive import read_archives
from serving.ledger.archive_file import ArchiveError, archive_path, read_archive
from serving.ledger.authentication import LedgerKey
from serving.ledger.database import writing
from serving.ledger.verification import check, verify
from tests.serving.ledger.archived_months import KEY, Make, archive, invoices, whole
from tests.serving.ledger.ledger_values import usage
from tests.serving.ledger.month_prices import BOOK, PRICING
from tests.serving.ledger.standing_clock import Clock


def test_all_that_holds_holds_after_it(
    engine: sa.Engine,
    ledger: Ledger,
    reservation: Make,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    (count, _), anchored = verify(engine), tmp_path / "anchors.jsonl"
    before = ledger.usage("acme", "2026-11"), ledger.usage("acme", "2027-01")
    append_to(anchored, make_anchor(engine))
    for month in ("2026-11", "2026-12", "2027-01"):
        entries, removed = archive(engine, month, tmp_path, clock)
        assert entries == removed > 0
        assert archive(engine, month, tmp_path, clock) == (entries, 0)
        left, findings = verify(engine)
        assert findings == []
        assert whole(engine, tmp_path) == (count, [])
        assert invoices(engine, tmp_path) == months
        assert audit(engine, BOOK, "acme") == (left - (left > 8), [])
        count_left = left
    assert count_left == 0
    with engine.connect() as connection:
        tables = (schema.entries, schema.requests, schema.answers)
        for table in tables:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert (ledger.usage("acme", "2026-11"), ledger.usage("acme", "2027-01")) == before
    with pytest.raises(AnswerExpiredError):
        ledger.reserve(reservation(idempotency_key="key-11-0", request_hash=f"{1:064x}"))
    with pytest.raises(LedgerError, match="belongs to a request with another body"):
        ledger.reserve(reservation(idempotency_key="key-11-0"))
    with pytest.raises(LedgerError, match="1 of acme is in the archive of 2026-11"):
        ledger.reverse("acme", 1, "too late", "pat")
    with pytest.raises(InvoiceError, match="Give the folder of the archives"):
        make_invoice(engine, "acme", "2026-11")
    # The chain goes on.
    request = reservation()
    ledger.reserve(request)
    entry = ledger.settle(request.request_id, usage(), PRICING, b"")
    assert entry.number == 21 and verify(engine) == (1, [])
    ends = read_anchors([anchored]).ends
    assert check(engine, ends=ends).findings == []
    archives = read_archives(engine, tmp_path, [KEY], ends)
    assert check(engine, ends=ends, archived=archives).findings == []


def test_only_what_is_archived_can_be_deleted(
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    archive(engine, "2026-11", tmp_path, clock)
    entries, archives = schema.entries, schema.archives
    forged = {
        "tenant": "acme",
        "first_number": 7,
        "last_number": 9,
        "month": "2026-12",
        "last_hash": "0" * 64,
        "carried": "{}",
    }
    for statement in (
        entries.delete(),
        entries.delete().where(entries.c.number == 7),
        entries.update().values(amount_micro=0),
        archives.delete(),
        archives.update().values(last_number=20),
        archives.insert().values(forged),
    ):
        with pytest.raises(sa.exc.DBAPIError), writing(engine) as connection:
            connection.execute(statement)
    assert verify(engine)[1] == []


def test_what_cannot_be_archived(
    engine: sa.Engine,
    ledger: Ledger,
    reservation: Make,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    with pytest.raises(ArchiveError, match="2027-03 has not ended"):
        archive(engine, "2027-03", tmp_path, clock)
    with pytest.raises(ArchiveError, match="There are entries of 2026-11"):
        archive(engine, "2026-12", tmp_path, clock)
    with pytest.raises(ArchiveError, match="Cannot write the archive"):
        archive(engine, "2026-11", tmp_path / "nowhere", clock)
    kept = reservation(idempotency_key="late")
    clock.now = datetime.datetime(2027, 2, 20)
    ledger.reserve(kept)
    ledger.settle(kept.request_id, usage(), PRICING, b"answer")
    clock.now = datetime.datetime(2027, 3, 10)
    for month in ("2026-11", "2026-12", "2027-01"):
        archive(engine, month, tmp_path, clock)
    with pytest.raises(ArchiveError, match=r"1 answers of 2027-02 are still .* 2027-03-22"):
        archive(engine, "2027-02", tmp_path, clock)
    with pytest.raises(ArchiveError, match="2027-01 is archived, which is later"):
        archive(engine, "2026-10", tmp_path, clock)


def test_a_changed_entry_is_not_archived(
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    with writing(engine) as connection:
        connection.execute(
            schema.requests.update()
            .where(schema.requests.c.request_id == "request-2")
            .values(state="released")
        )
    with pytest.raises(ArchiveError, match="entry 2: has no request that was settled"):
        archive(engine, "2026-11", tmp_path, clock)
    assert list(tmp_path.glob("*.part")) == list(tmp_path.glob(".*.part")) == []


def test_a_file_that_was_changed_or_is_gone_is_found(
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    archive(engine, "2026-11", tmp_path, clock)
    path = archive_path(tmp_path, "2026-11")
    content = gzip.decompress(path.read_bytes())
    with pytest.raises(ArchiveError, match="which was not given"):
        list(read_archive(path, "2026-11", [LedgerKey(b"x" * 32)]))
    for wrong, why in (
        (content.replace(b"2026-11/", b"2026-12/").replace(b"EUR", b"USD", 1), "was changed"),
        (content[:-30], "its end is missing"),
        (content[: content.rindex(b"\n", 0, -1) + 1], "its end is missing"),
        (content + b"{}\n", "goes on after its end"),
        (b"[]\n", "begins with"),
    ):
        path.write_bytes(gzip.compress(wrong))
        with pytest.raises(ArchiveError, match=why):
            for _, rows in read_archive(path, "2026-11"):
                list(rows)
        with pytest.raises(ArchiveError, match="is not the archive of 2026-11"):
            read_archives(engine, tmp_path)
        with pytest.raises(ArchiveError, match="is not the archive of 2026-11"):
            archive(engine, "2026-11", tmp_path, clock)
    path.unlink()
    with pytest.raises(ArchiveError, match="Cannot read the archive"):
        read_archives(engine, tmp_path)


def test_what_is_carried_forward_is_held_to_the_archive(
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    """Whoever takes the guards away may change it, and an account to fit."""
    archive(engine, "2026-11", tmp_path, clock)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("DROP TRIGGER archives_are_for_ever ON archives"))
        else:
            connection.execute(sa.text("DROP TRIGGER archives_no_update"))
        connection.execute(
            sa.text(
                "UPDATE archives SET carried = replace(carried, :said, :forged) "
                "WHERE tenant = 'other'"
            ),
            {"said": '"spent":{"2026-11":700}', "forged": '"spent":{"2026-11":1}'},
        )
        connection.execute(
            sa.text(
                "UPDATE accounts SET spent_micro = 1 "
                "WHERE tenant = 'other' AND month = '2026-11'"
            )
        )
    assert verify(engine)[1] == []
    _, findings = whole(engine, tmp_path)
    assert findings and "other: its archived entries, up to 1, add up to" in findings[0]
