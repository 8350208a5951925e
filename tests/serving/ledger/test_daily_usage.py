"""What is used is summed by day, key and model with each charge, and held to the entries."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.gateway.tenants import Tenants
from serving.ledger import Ledger, Reservation, schema
from serving.ledger.daily_usage import UsageQuery, UsageRow, read_usage, wrong_usage
from serving.ledger.database import reading, writing
from serving.ledger.upgrade import upgrade
from serving.ledger.verification import verify
from tests.serving.ledger.ledger_values import charge, usage
from tests.serving.ledger.old_ledger import OLD_LEDGERS, opened_old
from tests.serving.ledger.standing_clock import Clock

Make = Callable[..., Reservation]


def sell(ledger: Ledger, request: Reservation, model: str = "summarizer") -> int:
    ledger.reserve(request)
    return ledger.settle(
        request.request_id, replace(usage(), model=model), charge(), b""
    ).number


def test_usage_is_summed_by_day_key_and_model(
    engine: sa.Engine, ledger: Ledger, clock: Clock, reservation: Make
) -> None:
    clock.now = datetime.datetime(2026, 10, 31, 23, 59, 59)
    late = reservation(key_id="k1")
    ledger.reserve(late)
    clock.now = datetime.datetime(2026, 11, 1)
    ledger.settle(late.request_id, usage(), charge(), b"")
    number = sell(ledger, reservation(key_id="k1"))
    sell(ledger, reservation(key_id="k1"), "other")
    sell(ledger, reservation(key_id="k2"))
    sell(ledger, reservation(tenant="beta"))
    ledger.reserve(reservation(key_id="k1"))  # costs nothing yet
    clock.now = datetime.datetime(2026, 11, 2)
    ledger.reverse("acme", number, "a test", "a test")
    one = (usage().input_tokens, usage().cached_tokens, usage().output_tokens, 700)
    whole = read_usage(engine, UsageQuery())
    assert [(*row.of, row.requests, row.amount_micro) for row in whole] == [
        ("acme", "2026-11-01", "k1", "other", 1, 700),
        ("acme", "2026-11-01", "k1", "summarizer", 2, 1400),  # of October's, too
        ("acme", "2026-11-01", "k2", "summarizer", 1, 700),
        ("acme", "2026-11-02", "k1", "summarizer", -1, -700),
        ("beta", "2026-11-01", "", "summarizer", 1, 700),
    ]
    by_key = UsageQuery(by=("key_id",), tenant="acme", model="summarizer")
    assert read_usage(engine, by_key) == [UsageRow((key,), 1, *one) for key in ("k1", "k2")]
    of_day = UsageQuery(since="2026-11-02", until="2026-11-02", by=("day",))
    assert [row.amount_micro for row in read_usage(engine, of_day)] == [-700]
    assert verify(engine) == (6, [])


def test_pages_leave_nothing_out(engine: sa.Engine, ledger: Ledger, reservation: Make) -> None:
    for number in range(7):
        sell(ledger, reservation(key_id=f"k{number % 3}", tenant=f"t{number}"))
    whole = read_usage(engine, UsageQuery())
    pages: list[UsageRow] = []
    while page := read_usage(engine, UsageQuery(after=pages[-1].of if pages else (), limit=2)):
        pages += page
    assert pages == whole and len(whole) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": ()}, "Received: none"),
        ({"by": ("day", "day")}, "each once. Received: day, day"),
        ({"by": ("entries",)}, "Received: entries"),
        ({"by": ("day",), "after": ("a", "b")}, "begins after 1 values. Received: 2"),
    ],
)
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_what_cannot_be_added_up_is_refused(
    engine: sa.Engine, changes: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_usage(engine, replace(UsageQuery(), **changes))  # type: ignore[arg-type]


def test_a_sum_that_is_changed_by_hand_is_found(
    engine: sa.Engine, ledger: Ledger, clock: Clock, reservation: Make
) -> None:
    sell(ledger, reservation(key_id="k1"))
    sell(ledger, reservation(tenant="beta"))
    with writing(engine) as connection:
        connection.execute(
            schema.daily_usage.update()
            .where(schema.daily_usage.c.tenant == "acme")
            .values(amount_micro=1)
        )
        connection.execute(
            schema.daily_usage.delete().where(schema.daily_usage.c.tenant == "beta")
        )
    found = [str(finding) for finding in verify(engine)[1]]
    day = f"{clock.now:%Y-%m-%d}"
    assert found == [
        f"acme: the usage of {day} of the model summarizer and the key k1 is not the sum of "
        "its entries",
        f"beta: the usage of {day} of the model summarizer and the key (unknown) is not the "
        "sum of its entries",
    ]
    assert [finding.tenant for finding in verify(engine, "beta")[1]] == ["beta"]


NOBODYS = (
    "INSERT INTO {table} (tenant, month, key_id, day, model, requests, input_tokens, "
    "cached_tokens, output_tokens, amount_micro{archive}) "
    "VALUES ('{tenant}', '2026-11', 'k9', '2026-11-25', 'summarizer', {sums}{in_archive})"
)
DAILY = {"table": "daily_usage", "archive": "", "in_archive": ""}
ARCHIVED = {"table": "archived_usage", "archive": ", archive", "in_archive": ", '2026-10'"}


@pytest.mark.parametrize(
    "changed",
    [
        "UPDATE daily_usage SET requests = requests + 1",
        "UPDATE daily_usage SET day = '2020-01-01' WHERE tenant = 'acme'",
        "UPDATE daily_usage SET key_id = 'k3' WHERE key_id = 'k1'",
        "DELETE FROM daily_usage",
        "UPDATE requests SET key_id = 'k3' WHERE key_id = 'k1'",
        "UPDATE requests SET month = '2020-01' WHERE tenant = 'beta'",
        "UPDATE requests SET state = 'released' WHERE tenant = 'beta'",
        "UPDATE requests SET tenant = 'beta' WHERE tenant = 'acme'",
        "DELETE FROM requests WHERE tenant = 'beta'",
        # Of tenants who are nowhere else, before, between and after those who are.
        *(
            NOBODYS.format(**table, tenant=tenant, sums=sums)
            for table in (DAILY, ARCHIVED)
            for tenant in ("aaa", "b", "zzz", "acme")
            for sums in ("1, 2, 0, 3, 4", "0, 0, 0, 0, 0")
        ),
        "UPDATE daily_usage SET tenant = 'zzz' WHERE tenant = 'beta'",
        "UPDATE requests SET request_id = 'paid' WHERE request_id = 'open'",
    ],
)
def test_what_is_added_up_on_the_way_finds_what_the_database_finds(
    engine: sa.Engine, ledger: Ledger, reservation: Make, changed: str
) -> None:
    """The sums are compared while the entries are read, and by one statement where they do not
    agree: whatever is changed, it is found as if they were always compared by the statement."""
    sell(ledger, reservation(key_id="k1"))
    sell(ledger, reservation(key_id="k2"))
    sell(ledger, reservation(tenant="beta"))
    ledger.reserve(replace(reservation(), request_id="open"))
    ledger.top_up("acme", 5_000_000, "EUR", "paid", "a test", request_id="paid")
    assert verify(engine)[1] == []
    with writing(engine) as connection:
        connection.execute(sa.text(changed))
    for tenant in (None, "aaa", "acme", "b", "beta", "zzz"):
        found = verify(engine, tenant)[1]
        with reading(engine) as connection:
            by_statement = list(wrong_usage(connection, tenant))
        of_usage = [(each.tenant, each.what) for each in found if "the usage of" in each.what]
        others = {each.tenant for each in found if "the usage of" not in each.what}
        assert of_usage == [each for each in by_statement if each[0] not in others]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from("kl"), st.integers(0, 40), st.booleans()
        )
    )
)
def test_sums_are_those_of_the_entries(
    engine: sa.Engine, steps: list[tuple[str, str, int, bool]]
) -> None:
    """Whatever was sold and taken back, by whom, and on which day."""
    clock = Clock()
    ledger = Ledger(engine, "gateway-0", clock)
    expected = Counter[tuple[str, str, str]]()
    with writing(engine) as connection:
        prefix = connection.scalar(sa.select(sa.func.count()).select_from(schema.requests))
    for number, (tenant, key_id, days, taken_back) in enumerate(steps):
        tenant = f"{tenant}-{prefix}"
        clock.now += datetime.timedelta(days=days)
        request = Reservation(
            f"{prefix}-{number}", tenant, 1000, "0" * 64, key_id=key_id, max_concurrent=None
        )
        entry = sell(ledger, request)
        day = f"{clock.now:%Y-%m-%d}"
        expected[tenant, day, key_id] += 1
        if taken_back:
            clock.now += datetime.timedelta(days=1)
            ledger.reverse(tenant, entry, "a test", "a test")
            expected[tenant, f"{clock.now:%Y-%m-%d}", key_id] -= 1
    rows = read_usage(engine, UsageQuery(by=("tenant", "day", "key_id")))
    ours = {row.of: row.requests for row in rows if row.of[0].endswith(f"-{prefix}")}
    assert {of: n for of, n in ours.items() if n} == {of: n for of, n in expected.items() if n}
    assert verify(engine)[1] == []


@pytest.fixture
def old_engine(database_url: str, tmp_path: Path) -> Iterator[sa.Engine]:
    file = OLD_LEDGERS / "ledger-0009.sqlite"
    with opened_old(file, "0009", database_url, tmp_path) as engine:
        yield engine


def test_a_ledger_of_the_version_before(old_engine: sa.Engine, reservation: Make) -> None:
    """Its usage is added up, its keys hold as they did, and what it had reserved is settled."""
    upgrade(old_engine)
    assert verify(old_engine) == (6, [])
    rows = read_usage(old_engine, UsageQuery())
    assert [(*row.of, row.requests, row.input_tokens, row.amount_micro) for row in rows] == [
        ("acme", "2026-11-01", "", "other", 1, 120, 700),
        ("acme", "2026-11-01", "", "summarizer", 3, 360, 2100),
        ("acme", "2026-11-03", "", "summarizer", -1, -120, -700),
        ("beta", "2026-11-03", "", "summarizer", 1, 120, 5),
    ]
    months = sa.select(schema.daily_usage.c.month, schema.daily_usage.c.requests).where(
        schema.daily_usage.c.tenant == "acme", schema.daily_usage.c.model == "summarizer"
    )
    with old_engine.connect() as connection:
        counts = connection.execute(months.order_by("month", "day")).all()
    assert [tuple(row) for row in counts] == [
        ("2026-10", 1),
        ("2026-11", 2),
        ("2026-11", -1),
    ]
    good, revoked = (OLD_LEDGERS / "ledger-0009.key").read_text().split()
    tenants = Tenants(old_engine)
    caller = tenants.authenticate(good)
    assert caller is not None and caller.tenant == "acme"
    assert all(caller.may_use(scope) for scope in ("summaries", "usage"))
    assert caller.key_budget_micro is None
    assert tenants.authenticate(revoked) is None
    ledger = Ledger(old_engine, "gateway-0")
    ledger.settle("open", usage(), charge(), b"")
    sell(ledger, reservation(request_id="new", key_id="k1"))
    assert verify(old_engine) == (8, [])
