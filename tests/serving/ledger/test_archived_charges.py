"""An archived charge is given back once, by its archive; sums by day are held to archives."""

from __future__ import annotations

import datetime
import gzip
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa

from serving.billing.audit import audit
from serving.billing.invoice import make_invoice
from serving.gateway.administration import Administrator
from serving.gateway.administration.ledger import archive_ledger
from serving.ledger import Entry, Ledger, LedgerError, Reservation, schema
from serving.ledger.archive import archive_month, read_archives
from serving.ledger.archive_file import ArchiveError, archive_path, sha256_of
from serving.ledger.audit_log import read_changes
from serving.ledger.database import writing
from serving.ledger.operations import Operation, Outcome
from serving.ledger.upgrade import upgrade
from serving.ledger.usage import used_of_key
from serving.ledger.verification import check, verify
from tests.serving.ledger.ledger_values import usage
from tests.serving.ledger.month_prices import BOOK, PRICING
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


@pytest.fixture
def charged(engine: sa.Engine, ledger: Ledger, reservation: Make, clock: Clock) -> list[Entry]:
    """Charges of November, of a key, of which half of the second is refunded in December; then
    it is January."""
    clock.now = datetime.datetime(2026, 11, 10)
    entries = []
    for _ in range(3):
        request = reservation(key_id="k1")
        ledger.reserve(request)
        entries.append(ledger.settle(request.request_id, usage(input_tokens=600), PRICING, b""))
    clock.now = datetime.datetime(2026, 12, 10)
    ledger.refund("acme", 2, "slow", "pat", amount_micro=entries[1].amount_micro // 2)
    clock.now = datetime.datetime(2027, 1, 10)
    return entries


def archive(engine: sa.Engine, folder: Path, clock: Clock, *months: str) -> None:
    for month in months:
        archive_month(engine, month, folder, clock=clock)


def whole(engine: sa.Engine, folder: Path) -> list[str]:
    """What is wrong, with the archives and without."""
    report = check(engine, archived=read_archives(engine, folder))
    assert verify(engine)[1] == report.findings
    return list(map(str, report.findings))


def test_it_is_reversed_in_the_open_month(
    engine: sa.Engine, ledger: Ledger, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    archive(engine, tmp_path, clock, "2026-11")
    with pytest.raises(
        LedgerError, match=r"1 of acme is in the archive of 2026-11.*--archives"
    ):
        ledger.reverse("acme", 1, "a wrong text", "pat")
    back = ledger.reverse("acme", 1, "a wrong text", "pat", archives=tmp_path)
    assert (back.number, back.request_id) == (5, charged[0].request_id)
    assert back.amount_micro == -charged[0].amount_micro
    # It pays to the month that was charged, and is on the open month's invoice.
    assert (back.month, back.created_at) == ("2026-11", clock.now)
    invoice = make_invoice(engine, "acme", "2027-01")
    assert (invoice.first_entry, invoice.last_entry) == (5, 5)
    assert (invoice.requests, invoice.total_micro) == (-1, back.amount_micro)
    assert whole(engine, tmp_path) == []
    assert audit(engine, BOOK, "acme")[1] == []
    with pytest.raises(LedgerError, match="already reversed, by entry 5"):
        ledger.reverse("acme", 1, "again", "pat", archives=tmp_path)
    # Also when the reversal itself is archived.
    clock.now = datetime.datetime(2027, 2, 10)
    archive(engine, tmp_path, clock, "2026-12", "2027-01")
    assert whole(engine, tmp_path) == []
    with engine.connect() as connection:
        tables = (schema.entries, schema.requests)
        counts = [sa.select(sa.func.count()).select_from(each) for each in tables]
        assert [connection.scalar(each) for each in counts] == [0, 0]
    with pytest.raises(LedgerError, match="already reversed, by entry 5"):
        ledger.reverse("acme", 1, "again", "pat", archives=tmp_path)
    with pytest.raises(LedgerError, match="Of this charge, 0 millionths are left"):
        ledger.refund("acme", 1, "again", "pat", amount_micro=1, archives=tmp_path)


def test_it_is_refunded_up_to_what_is_left_wherever_it_was_given_back(
    engine: sa.Engine, ledger: Ledger, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    amount = charged[1].amount_micro
    left = amount - amount // 2
    archive(engine, tmp_path, clock, "2026-11")

    def refund(amount_micro: int | None) -> Entry:
        return ledger.refund(
            "acme", 2, "slow", "pat", amount_micro=amount_micro, archives=tmp_path
        )

    # The refund of December is in the ledger.
    with pytest.raises(LedgerError, match=f"Of this charge, {left} millionths are left"):
        refund(left + 1)
    with pytest.raises(LedgerError, match="A part of charge 2 was already refunded"):
        ledger.reverse("acme", 2, "all", "pat", archives=tmp_path)
    refund(1)
    # It is archived, and the one of January is in the ledger.
    archive(engine, tmp_path, clock, "2026-12")
    with pytest.raises(LedgerError, match=f"Of this charge, {left - 1} millionths are left"):
        refund(left)
    refund(2)
    clock.now = datetime.datetime(2027, 2, 10)
    archive(engine, tmp_path, clock, "2027-01")
    assert refund(None).amount_micro == -(left - 3)
    with pytest.raises(LedgerError, match="Nothing is left"):
        refund(None)
    assert whole(engine, tmp_path) == []
    assert audit(engine, BOOK, "acme")[1] == []


def test_who_archived_is_in_the_audit_log(
    engine: sa.Engine, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    by = Administrator(engine, "alice", clock=clock)
    for _ in range(2):  # the second one has nothing left to do
        assert archive_ledger(by, "2026-11", tmp_path).entries == 3
    (change,) = read_changes(engine, 10)
    assert (change.actor, change.action, change.subject) == (
        "alice",
        "ledger.archive",
        "2026-11",
    )
    sha256 = sha256_of(archive_path(tmp_path, "2026-11"))
    assert (change.before, change.after) == ({}, {"entries": 3, "sha256": sha256})


def test_all_archives_since_then_are_needed(
    engine: sa.Engine, ledger: Ledger, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    archive(engine, tmp_path, clock, "2026-11", "2026-12")
    for number in (4, 9):
        with pytest.raises(LedgerError, match=f"no charge with the number {number}"):
            ledger.reverse("acme", number, "none", "pat", archives=tmp_path)
    path = archive_path(tmp_path, "2026-12")
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ArchiveError, match="Cannot read the archive"):
        ledger.reverse("acme", 1, "a wrong text", "pat", archives=tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(content).replace(b"slow", b"fast")))
    with pytest.raises(ArchiveError, match="is not the archive of 2026-12"):
        ledger.reverse("acme", 1, "a wrong text", "pat", archives=tmp_path)
    assert verify(engine)[1] == []


def test_what_is_archived_meanwhile_is_not_missed(
    engine: sa.Engine,
    ledger: Ledger,
    charged: list[Entry],
    clock: Clock,
    tmp_path: Path,
) -> None:
    """Between the reading of the archives and the writing of the entry."""
    archive(engine, tmp_path, clock, "2026-11")

    class Late(Ledger):
        def write_alone(self, connection: sa.Connection, operation: Operation[Any]) -> Outcome:
            archive(engine, tmp_path, clock, "2026-12")
            return super().write_alone(connection, operation)

    with pytest.raises(LedgerError, match="Entries of acme are being archived"):
        Late(engine, "late", clock).refund("acme", 2, "all", "pat", archives=tmp_path)
    assert whole(engine, tmp_path) == []


def test_many_at_once_give_back_once(
    engine: sa.Engine, ledger: Ledger, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    archive(engine, tmp_path, clock, "2026-11", "2026-12")
    done: list[Entry] = []

    def reverse(number: int) -> None:
        try:
            back = Ledger(engine, f"{number}", clock).reverse(
                "acme", 3, "a wrong text", "pat", archives=tmp_path
            )
            done.append(back)
        except LedgerError as error:
            assert "already reversed" in str(error)

    threads = [threading.Thread(target=reverse, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.amount_micro for each in done] == [-charged[2].amount_micro]
    assert whole(engine, tmp_path) == []


def test_sums_by_day_are_held_to_the_archive(
    engine: sa.Engine, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    archive(engine, tmp_path, clock, "2026-11")
    assert whole(engine, tmp_path) == []
    spent = sum(each.amount_micro for each in charged)
    assert used_of_key(engine, "acme", "k1", "2026-11") == spent - charged[1].amount_micro // 2
    _change(engine, "daily_usage", "UPDATE daily_usage SET output_tokens = output_tokens + 1")
    assert [str(each) for each in verify(engine)[1]] == [
        f"acme: the usage of {day} of the model summarizer and the key k1 is not the sum of "
        "its entries"
        for day in ("2026-11-10", "2026-12-10")
    ]


def test_what_is_written_down_by_day_is_held_to_the_file(
    engine: sa.Engine, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    """Whoever takes the guards away may change both to fit."""
    archive(engine, tmp_path, clock, "2026-11")
    statement = "UPDATE {} SET requests = 2 WHERE day = '2026-11-10'"
    with pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"):
        _change(engine, "archived_usage", statement)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                sa.text("DROP TRIGGER archived_usage_is_for_ever ON archived_usage")
            )
        else:
            connection.execute(sa.text("DROP TRIGGER archived_usage_no_update"))
    for table in ("archived_usage", "daily_usage"):
        _change(engine, table, statement)
    assert verify(engine)[1] == []
    report = check(engine, archived=read_archives(engine, tmp_path))
    (finding,) = map(str, report.findings)
    assert "acme: the archived usage of 2026-11-10 of the model summarizer" in finding
    assert "is (2, 1800, 0, 90" in finding and "Expected: (3, 1800, 0, 90" in finding


# What undoes the revisions after the one that is tried.
LATER: Final = (
    "DROP INDEX daily_usage_by_day",
    "DROP INDEX accounts_by_month",
    "DROP INDEX audit_log_by_action",
    "DROP INDEX one_change_a_confirmation",
    "ALTER TABLE audit_log DROP COLUMN confirmation",
    "DROP TABLE ended_sessions",
    "DROP TABLE daily_versions",
)


def test_archives_of_an_earlier_version(
    engine: sa.Engine, charged: list[Entry], clock: Clock, tmp_path: Path
) -> None:
    """What they add up to by day is taken from what the sums are when it is upgraded."""
    archive(engine, tmp_path, clock, "2026-11")
    table = schema.archived_usage
    with writing(engine) as connection:
        before = connection.execute(sa.select(table)).all()
        table.drop(connection)
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("DROP FUNCTION archived_usage_is_for_ever"))
        else:
            connection.execute(sa.text("DROP TRIGGER audit_log_no_replace"))
        for later in LATER:
            connection.execute(sa.text(later))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0012'"))
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(table)).all() == before
    assert len(before) == 1
    assert whole(engine, tmp_path) == []


def _change(engine: sa.Engine, table: str, statement: str) -> None:
    with writing(engine) as connection:
        connection.execute(sa.text(statement.format(table)))
