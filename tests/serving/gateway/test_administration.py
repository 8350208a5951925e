"""What administrators do, on each database: checked, done, and in the audit log."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.gateway.administration import (
    Administrator,
    KeyWish,
    change_key,
    change_tenant,
    create_tenant,
    erase,
    list_keys,
    list_tenants,
    make_key,
    read_key,
    read_tenant,
    revoke_key,
    rotate_key,
)
from serving.gateway.tenants import (
    KeyRefusedError,
    Limits,
    NoSuchTenantError,
    TenantError,
    TenantExistsError,
    Tenants,
)
from serving.ledger import schema
from serving.ledger.audit_log import read_changes
from serving.ledger.database import writing
from tests.serving.ledger.standing_clock import Clock

MONTH = "2026-11"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def by(engine: sa.Engine, clock: Clock) -> Administrator:
    return Administrator(engine, "alice", "api", lambda: {"standard", "large"}, clock=clock)


@pytest.fixture
def tenants(engine: sa.Engine, clock: Clock) -> Tenants:
    return Tenants(engine, clock)


def log(engine: sa.Engine) -> list[tuple[str, str, Any, Any]]:
    """The audit log, the oldest first."""
    changes = read_changes(engine, 100)
    return [(each.action, each.subject, each.before, each.after) for each in changes[::-1]]


def test_a_tenant_is_made_read_and_changed(by: Administrator, clock: Clock) -> None:
    made = create_tenant(by, "acme", "standard", Limits(budget_micro=5))
    assert read_tenant(by.engine, "acme", MONTH) == made
    assert made.created_at == clock.now
    plan, limits = change_tenant(by, "acme", "large", {"max_concurrent": 3})
    assert (plan, limits) == ("large", Limits(budget_micro=5, max_concurrent=3))
    change_tenant(by, "acme", "large", {"max_concurrent": 3})  # changes nothing
    change_tenant(by, "acme", None, {"budget_micro": None})
    assert read_tenant(by.engine, "acme", MONTH) == replace(
        made, plan="large", limits=Limits(max_concurrent=3)
    )
    none = {"requests_per_minute": None, "tokens_per_minute": None, "max_concurrent": None}
    assert log(by.engine) == [
        ("tenant.create", "acme", {}, {"plan": "standard", "budget_micro": 5, **none}),
        (
            "tenant.change",
            "acme",
            {"plan": "standard", "max_concurrent": None},
            {"plan": "large", "max_concurrent": 3},
        ),
        ("tenant.change", "acme", {"budget_micro": 5}, {"budget_micro": None}),
    ]
    (first, *_, last) = read_changes(by.engine, 100)
    assert (last.actor, last.via, last.tenant, last.at) == ("alice", "api", "acme", clock.now)
    assert read_changes(by.engine, 1, before_id=first.id)[0].id < first.id
    assert read_changes(by.engine, 100, tenant="other") == []


def test_what_is_not_there_or_not_valid_is_said(by: Administrator) -> None:
    create_tenant(by, "acme", "standard")
    before = log(by.engine)
    with pytest.raises(TenantExistsError, match="'acme' already exists"):
        create_tenant(by, "acme", "standard")
    with pytest.raises(TenantError, match=r"no plan 'gold'\. Expected: one of large, standard"):
        create_tenant(by, "beta", "gold")
    with pytest.raises(TenantError, match=r"no plan 'gold'\. Expected: one of large, standard"):
        change_tenant(by, "acme", "gold", {})
    with pytest.raises(TenantError, match="There is no limit 'speed'"):
        change_tenant(by, "acme", None, {"speed": 1})
    with pytest.raises(TenantError, match="max_concurrent must be at least 1 and at most"):
        change_tenant(by, "acme", None, {"max_concurrent": 2**31})
    for name in ("nobody", "a\0b", "", "x" * 300):
        with pytest.raises(NoSuchTenantError):
            change_tenant(by, name, None, {})
        with pytest.raises(NoSuchTenantError):
            read_tenant(by.engine, name, MONTH)
        with pytest.raises(NoSuchTenantError):
            make_key(by, name)
        assert list_keys(by.engine, name) == ()
        with pytest.raises(NoSuchTenantError, match="There is no key"):
            read_key(by.engine, name)
        with pytest.raises(NoSuchTenantError, match="There is no key"):
            revoke_key(by, name)
    assert log(by.engine) == before


def test_pages_of_tenants(by: Administrator) -> None:
    for name in ("c", "a", "b"):
        create_tenant(by, name, "standard")
    make_key(by, "b")
    page = list_tenants(by.engine, MONTH, limit=2)
    assert [(each.name, len(each.keys)) for each in page] == [("a", 0), ("b", 1)]
    assert [each.name for each in list_tenants(by.engine, MONTH, after="b")] == ["c"]


def test_a_key_is_for_what_it_was_made_for(
    by: Administrator, tenants: Tenants, clock: Clock
) -> None:
    create_tenant(by, "acme", "standard")
    end = clock.now + datetime.timedelta(hours=1)
    wish = KeyWish("nightly jobs", ("summarizer",), ("summaries", "usage"), 7, end)
    new = make_key(by, "acme", wish)
    caller = tenants.authenticate(new.key)
    assert caller is not None and caller.key_budget_micro == 7
    assert caller.may_use("summaries") and not caller.may_use("models")
    assert caller.may_ask("summarizer") and not caller.may_ask("other")
    assert list_keys(by.engine, "acme") == (new.record,)
    assert read_key(by.engine, new.record.key_id) == new.record
    assert new.record.state(clock.now) == "active"
    clock.now = end
    assert new.record.state(clock.now) == "expired"
    with pytest.raises(KeyRefusedError, match="expired at 20") as refused:
        tenants.authenticate(new.key)
    assert refused.value.code == "api_key_expired"
    change_key(by, new.record.key_id, {"expires_at": None, "scopes": ("*",)})
    caller = tenants.authenticate(new.key)
    assert caller is not None and caller.may_use("models")


def test_a_key_is_suspended_resumed_and_revoked(by: Administrator, tenants: Tenants) -> None:
    create_tenant(by, "acme", "standard")
    new = make_key(by, "acme")
    key_id = new.record.key_id
    told: list[str] = []
    by = replace(by, forget=told.append)
    assert change_key(by, key_id, {"suspended": True}).state(by.clock()) == "suspended"
    with pytest.raises(KeyRefusedError) as refused:
        tenants.authenticate(new.key)
    assert refused.value.code == "api_key_suspended"
    change_key(by, key_id, {"suspended": True})  # harmless
    change_key(by, key_id, {"suspended": False})
    assert tenants.authenticate(new.key) is not None
    assert revoke_key(by, key_id) == revoke_key(by, key_id)
    assert tenants.authenticate(new.key) is None
    assert told == ["acme"] * 5
    for refused_too in (
        lambda: change_key(by, key_id, {"name": "x"}),
        lambda: rotate_key(by, key_id, datetime.timedelta()),
    ):
        with pytest.raises(TenantError, match="is revoked, which cannot be undone"):
            refused_too()
    assert [action for action, *_ in log(by.engine)] == [
        *("tenant.create", "key.create", "key.change", "key.change", "key.revoke")
    ]


def test_a_rotated_key_has_two_secrets_for_a_while(
    by: Administrator, tenants: Tenants, clock: Clock
) -> None:
    create_tenant(by, "acme", "standard")
    first = make_key(by, "acme", KeyWish("the same", budget_micro=5))
    key_id = first.record.key_id
    second = rotate_key(by, key_id, datetime.timedelta(minutes=10))
    assert second.record.key_id == key_id and second.key != first.key
    assert (second.record.name, second.record.budget_micro) == ("the same", 5)
    old, new = tenants.authenticate(first.key), tenants.authenticate(second.key)
    assert old == new and old is not None
    clock.now += datetime.timedelta(minutes=10)
    assert tenants.authenticate(first.key) is None
    assert tenants.authenticate(second.key) is not None
    third = rotate_key(by, key_id, datetime.timedelta(minutes=10))
    fourth = rotate_key(by, key_id, datetime.timedelta())
    assert [
        tenants.authenticate(each.key) is not None for each in (first, second, third, fourth)
    ] == [False, False, False, True]
    for overlap in (-1, 400):
        with pytest.raises(TenantError, match="accepted for 0 to 366 days"):
            rotate_key(by, key_id, datetime.timedelta(days=overlap))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a\nb"}, "can be printed. Received: 'a\\\\nb'"),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"models": ()}, r"1 to 64 models.*Received: \[\]"),
        ({"models": ("a b",)}, r"Received: \['a b'\]"),
        ({"scopes": ()}, "Received: none"),
        ({"scopes": ("usage", "all")}, "Received: all"),
        ({"budget_micro": -1}, "budget_micro must be at least 0"),
        ({"budget_micro": 2**63}, "budget_micro must be at least 0"),
        ({"expires_at": datetime.datetime(2020, 1, 1)}, "must expire in the future"),
    ],
)
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_keys_that_cannot_be(by: Administrator, values: dict[str, Any], message: str) -> None:
    create_tenant(by, "acme", "standard")
    key_id = make_key(by, "acme").record.key_id
    with pytest.raises(TenantError, match=message):
        make_key(by, "acme", KeyWish(**values))
    with pytest.raises(TenantError, match=message):
        change_key(by, key_id, values)
    with pytest.raises(TenantError, match="A key has no 'secret_hash' to change"):
        change_key(by, key_id, {"secret_hash": ""})
    assert len(log(by.engine)) == 2


def test_no_secret_is_in_the_audit_log(by: Administrator) -> None:
    create_tenant(by, "acme", "standard")
    new = make_key(by, "acme")
    keys = [new.key, rotate_key(by, new.record.key_id, datetime.timedelta(days=1)).key]
    erase(by, "acme")
    with by.engine.connect() as connection:
        hashes = connection.scalars(sa.select(schema.api_keys.c.secret_hash)).all()
        rows = str(connection.execute(sa.select(schema.audit_log)).all())
    assert hashes == []
    assert not any(key.split("_", 2)[2] in rows for key in keys)
    assert "hash" not in rows
    assert log(by.engine)[-1] == (
        *("tenant.erase", "acme", {}),
        {"answers": 0, "idempotency_keys": 0, "api_keys": 1},
    )


def test_the_audit_log_is_append_only(by: Administrator) -> None:
    create_tenant(by, "acme", "standard")
    before = read_changes(by.engine, 10)
    statements = [
        "UPDATE audit_log SET actor = 'nobody'",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT id, at, 'nobody', via, action, tenant, "
        "subject, before, after, confirmation FROM audit_log"
        if by.engine.dialect.name == "sqlite"
        else "TRUNCATE audit_log",
    ]
    for statement in statements:
        with (
            pytest.raises(sa.exc.DBAPIError, match="never changed or deleted"),
            writing(by.engine) as connection,
        ):
            connection.exec_driver_sql(statement)
    assert read_changes(by.engine, 10) == before


def test_a_change_that_fails_leaves_no_row_and_the_other_way_round(
    by: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are one transaction: a clock that cannot be written fails it."""
    create_tenant(by, "acme", "standard")
    broken = replace(by, name="x" * 300)  # longer than a name may be on PostgreSQL
    if by.engine.dialect.name == "sqlite":
        with writing(by.engine) as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON audit_log "
                "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
    for change in (
        lambda: create_tenant(broken, "beta", "standard"),
        lambda: change_tenant(broken, "acme", "large", {}),
        lambda: make_key(broken, "acme"),
    ):
        with pytest.raises((sa.exc.DBAPIError, TenantError)):
            change()
    assert [each.name for each in list_tenants(by.engine, MONTH)] == ["acme"]
    tenant = read_tenant(by.engine, "acme", MONTH)
    assert (tenant.plan, tenant.keys) == ("standard", ())


def test_last_use_is_written_once_for_many(
    by: Administrator, tenants: Tenants, clock: Clock
) -> None:
    create_tenant(by, "acme", "standard")
    keys = [make_key(by, "acme") for _ in range(3)]
    writes: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE api_keys"):
            writes.append(statement)

    for key in keys[:2]:
        tenants.authenticate(key.key)
    clock.now += datetime.timedelta(minutes=1)
    for _ in range(100):
        assert tenants.cached(keys[0].key) is not None
    sa.event.listen(by.engine, "before_cursor_execute", count)
    tenants.write_last_use()
    tenants.write_last_use()  # nothing since
    sa.event.remove(by.engine, "before_cursor_execute", count)
    assert len(writes) == 1
    used = [read_key(by.engine, key.record.key_id).last_used_at for key in keys]
    assert used == [clock.now, clock.now - datetime.timedelta(minutes=1), None]
    # One that comes later from a gateway whose clock is behind takes nothing back.
    late = Tenants(by.engine, lambda: clock.now - datetime.timedelta(hours=1))
    late.authenticate(keys[0].key)
    late.write_last_use()
    assert read_key(by.engine, keys[0].record.key_id).last_used_at == clock.now


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(max_size=120), model=st.text(max_size=120), tenant=st.text(max_size=70))
def test_any_name_is_kept_as_it_is_or_refused(
    by: Administrator, name: str, model: str, tenant: str
) -> None:
    try:
        create_tenant(by, tenant, "standard")
        assert read_tenant(by.engine, tenant, MONTH).name == tenant
    except TenantError:
        tenant = "acme"
        with_acme = [each.name for each in list_tenants(by.engine, MONTH)]
        if tenant not in with_acme:
            create_tenant(by, tenant, "standard")
    try:
        new = make_key(by, tenant, KeyWish(name, (model,)))
    except TenantError as error:
        assert error.args[0].isprintable()
        return
    assert read_key(by.engine, new.record.key_id) == new.record
    assert (new.record.name, new.record.models) == (name, (model,))
    assert read_changes(by.engine, 1)[0].after["name"] == name
