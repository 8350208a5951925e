"""Answers are kept for a while and can be erased; charges stay, of a ledger of today's version
and of the one before."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.gateway.tenants import Tenants
from serving.ledger import (
    AnswerExpiredError,
    Ledger,
    Replay,
    Reservation,
    Reserved,
    schema,
)
from serving.ledger.database import writing
from serving.ledger.entries import Selection, select_entries
from serving.ledger.erasure import Erased, erase_tenant
from serving.ledger.leases import Lease
from serving.ledger.recovery import release_ownerless
from serving.ledger.retention import Retention, remove_expired
from serving.ledger.upgrade import upgrade
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.old_ledger import OLD_LEDGERS, opened_old
from tests.serving.ledger.standing_clock import Clock
from tests.support.tenants import add_key, add_tenant

Make = Callable[..., Reservation]
OLD = OLD_LEDGERS / "ledger-0004.sqlite"


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def test_answers_are_kept_for_keyed_requests_only_and_for_their_time(
    engine: sa.Engine, clock: Clock, reservation: Make
) -> None:
    ledger = Ledger(engine, "gateway-0", clock, Retention(keyed=datetime.timedelta(days=2)))
    for key in ("k", None):
        request = reservation(idempotency_key=key, request_hash="a" * 64)
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(), charge(), b"the answer")
    again = reservation(idempotency_key="k", request_hash="a" * 64)
    assert count(engine, schema.answers) == 1
    clock.now += datetime.timedelta(days=2, seconds=-1)
    assert remove_expired(engine, clock) == 0
    assert ledger.reserve(again) == Replay("request-1", b"the answer")
    # As soon as its time is over, whether it has been removed or not.
    clock.now += datetime.timedelta(seconds=2)
    for removed in (1, 0):
        with pytest.raises(
            AnswerExpiredError, match=r"no longer kept\. It is not charged again"
        ):
            ledger.reserve(again)
        assert remove_expired(engine, clock) == removed
    assert verify(engine) == (2, [])
    with pytest.raises(ValueError, match="keyed: answers are kept for a time of 0 or more"):
        Retention(keyed=datetime.timedelta(days=-1))


def test_many_that_are_expired_are_removed(
    engine: sa.Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch, reservation: Make
) -> None:
    monkeypatch.setattr("serving.ledger.retention._AT_A_TIME", 3)
    ledger = Ledger(engine, "gateway-0", clock)
    for number in range(7):
        request = reservation(idempotency_key=f"k{number}")
        ledger.reserve(request)
        ledger.settle(request.request_id, usage(), charge(), b"")
    clock.now += datetime.timedelta(days=31)
    assert remove_expired(engine, clock) == 7


def test_a_tenants_texts_and_keys_are_erased_and_its_account_is_not(
    engine: sa.Engine, clock: Clock, reservation: Make
) -> None:
    tenants = Tenants(engine)
    keys = {}
    for name in ("acme", "beta"):
        add_tenant(engine, name)
        keys[name] = add_key(engine, name)
    ledger = Ledger(engine, "gateway-0", clock)
    for tenant in keys:
        for changes in ({"idempotency_key": "a-name"}, {"route": "chat"}):
            request = reservation(tenant=tenant, **changes)
            ledger.reserve(request)
            ledger.settle(request.request_id, usage(), charge(), f"{tenant}'s text".encode())
    running = [reservation(idempotency_key="running"), reservation(route="chat")]
    for request in running:
        ledger.reserve(request)
    before = select_entries(engine, Selection("acme"))
    assert erase_tenant(engine, "acme") == Erased(2, 2, 1)
    for request in running:
        ledger.settle(request.request_id, usage(), charge(), b"acme's text")
    assert select_entries(engine, Selection("acme"))[2:] == before
    assert ledger.usage("acme", "2026-11").amount_micro == 4 * 700
    assert verify(engine) == (6, [])
    with engine.connect() as connection:
        left = connection.scalars(
            sa.select(schema.requests.c.idempotency_key).where(
                schema.requests.c.tenant == "acme"
            )
        ).all()
    assert left == [None] * 4
    # Nobody else's.
    assert tenants.authenticate(keys["acme"]) is None
    assert tenants.authenticate(keys["beta"]) is not None
    assert (count(engine, schema.answers), count(engine, schema.undelivered)) == (1, 1)
    assert erase_tenant(engine, "acme") == Erased(0, 0, 0)
    if engine.dialect.name == "sqlite":
        folder = Path(str(engine.url.database)).parent
        files = b"".join(path.read_bytes() for path in folder.iterdir())
        assert (b"acme's text" in files, b"beta's text" in files) == (False, True)


@pytest.fixture
def old_engine(database_url: str, tmp_path: Path) -> Iterator[sa.Engine]:
    """The ledger that the version before leases and retention wrote, on each database."""
    with opened_old(OLD, "0004", database_url, tmp_path) as engine:
        yield engine


def test_a_ledger_of_the_version_before(old_engine: sa.Engine, reservation: Make) -> None:
    """Nothing is lost or charged twice, and what nobody can ask for is no longer kept."""
    upgrade(old_engine)
    assert verify(old_engine) == (5, [])
    lease = Lease(old_engine, "gateway-0")
    lease.renew()
    ledger = Ledger(old_engine, lease)
    # Sums were made of its entries.
    november = ledger.usage("acme", "2026-11")
    assert (november.entries, november.input_tokens, november.amount_micro) == (3, 120, 60)
    assert november.reserved_micro == 1000
    # Keyed answers are still there, others are not.
    assert count(old_engine, schema.answers) == 2
    again = reservation(idempotency_key="order-2", request_hash=f"{len('keyed'):064x}")
    assert ledger.reserve(again) == Replay("keyed", b'{"id":"keyed"}')
    later = Clock()
    later.now = datetime.datetime.now() + datetime.timedelta(days=31)
    assert remove_expired(old_engine, later) == 2
    with pytest.raises(AnswerExpiredError):
        ledger.reserve(again)
    # What was reserved is its process's until it is seen to have ended.
    assert release_ownerless(ledger) == []
    with writing(old_engine) as connection:
        connection.execute(
            schema.leases.delete().where(schema.leases.c.lease_id == "gateway-0")
        )
    assert sorted(release_ownerless(ledger)) == ["open", "open-too"]
    new = reservation(idempotency_key="order-4")
    assert isinstance(ledger.reserve(new), Reserved)
    assert ledger.settle(new.request_id, usage(), charge(), b"").number == 5
    assert verify(old_engine) == (6, [])
    assert verify(old_engine, "quiet") == (0, [])


def test_the_old_ledger_is_what_its_version_wrote() -> None:
    """The file is kept as it is."""
    connection = sqlite3.connect(f"file:{OLD}?mode=ro&immutable=1", uri=True)
    version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    columns = [row[1] for row in connection.execute("PRAGMA table_info(entries)")]
    connection.close()
    assert version == [("0004",)]
    assert "form" in columns and "made_by" not in columns
