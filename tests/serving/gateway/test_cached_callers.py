"""A key that was valid a moment ago is not read again, and is cached no longer than that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.gateway import tenants as keys
from serving.gateway.tenants import CACHED_FOR_S, Limits, Tenants
from serving.ledger import schema
from serving.ledger.database import open_database, writing
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.tenants import add_key, add_tenant, revoke


class Timer:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_database(sqlite_ledger(tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture
def tenants(engine: sa.Engine, timer: Timer) -> Tenants:
    add_tenant(engine, "acme", Limits(budget_micro=5))
    return Tenants(engine, timer=timer)


def test_a_good_key_is_cached_for_a_moment(
    engine: sa.Engine, tenants: Tenants, timer: Timer
) -> None:
    key = add_key(engine)
    assert tenants.cached(key) is None  # nobody has read it
    caller = tenants.authenticate(key)
    assert caller is not None and caller.limits.budget_micro == 5
    timer.now += CACHED_FOR_S - 0.01
    assert tenants.cached(key) == caller
    assert tenants.cached(key[:-1]) is None
    timer.now += 0.01
    assert tenants.cached(key) is None
    assert tenants.authenticate(key) == caller
    assert tenants.cached(key) == caller


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(
    engine: sa.Engine, tenants: Tenants, timer: Timer
) -> None:
    key, other_key = add_key(engine), add_key(engine)
    elsewhere = Tenants(engine, timer=timer)
    for gateway in (tenants, elsewhere):
        for each in (key, other_key):
            assert gateway.authenticate(each) is not None
    revoke(engine, key)
    tenants.forget("acme")
    assert tenants.cached(key) is None and tenants.authenticate(key) is None
    assert tenants.cached(other_key) is None  # read again, as all of the tenant
    assert tenants.authenticate(other_key) is not None
    timer.now += CACHED_FOR_S
    assert elsewhere.cached(key) is None and elsewhere.authenticate(key) is None
    assert elsewhere.cached(key) is None


def test_changed_limits_hold_after_a_moment(
    engine: sa.Engine, tenants: Tenants, timer: Timer
) -> None:
    key = add_key(engine)
    tenants.authenticate(key)
    with writing(engine) as connection:
        connection.execute(schema.tenants.update().values(budget_micro=7))
    timer.now += CACHED_FOR_S
    assert tenants.cached(key) is None
    caller = tenants.authenticate(key)
    assert caller is not None and caller.limits.budget_micro == 7


def test_bad_keys_are_never_cached_and_good_ones_are_bounded(
    engine: sa.Engine, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in ("", "tg_wrong", f"tg_{'0' * 16}_{'a' * 43}"):
        assert tenants.authenticate(bad) is None and tenants.cached(bad) is None
    monkeypatch.setattr(keys, "_MAX_CACHED", 3)
    good = [add_key(engine) for _ in range(5)]
    for key in good:
        tenants.authenticate(key)
    cached = [tenants.cached(key) is not None for key in good]
    assert cached == [False, False, True, True, True]
