"""Replays after a long time, and clocks that jump while a request is under way."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from serving.billing.invoice import make_invoice
from serving.engines import RunningServer
from serving.ledger import schema
from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy, gated_proxy
from tests.support.running_gateway import PRICES, RunningGateway, gateway_on

# The price rises, so that a charge says by its price when it was reserved.
DEARER = PRICES + PRICES.split('currency = "EUR"')[1].replace(
    'id = "2026"', 'id = "2026-12"'
).replace("2020-01-01", "2026-12-01").replace("= 10000", "= 12000")
# For one request of a month: one costs 33, and another could cost 48.
BUDGET = 60
NOVEMBER = datetime.datetime(2026, 11, 30, 23, 59, 59, 900_000)


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOVEMBER

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def moved_clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def proxy(model_server: RunningServer) -> Iterator[GatedProxy]:
    with gated_proxy(model_server.rest_url) as running:
        yield running


@pytest.fixture
def stack(
    engine: sa.Engine,
    moved_clock: MovedClock,
    tmp_path: Path,
    proxy: GatedProxy,
    metered_models: Path,
) -> Iterator[RunningGateway]:
    with gateway_on(
        engine, tmp_path, metered_models, [proxy.url], moved_clock, prices=DEARER
    ) as running:
        yield running


def ask(client: httpx.Client, name: str, text: str = "one two three") -> httpx.Response:
    body = {"model": "summarizer", "text": text}
    return client.post("/v1/summaries", json=body, headers={"Idempotency-Key": name})


def used(client: httpx.Client, month: str) -> tuple[int, int, int]:
    usage = client.get("/v1/usage", params={"month": month}).json()
    return usage["entries"], usage["amount_micro"], usage["reserved_micro"]


def test_an_answer_is_replayed_for_a_month_and_never_charged_again(
    stack: RunningGateway, moved_clock: MovedClock, proxy: GatedProxy
) -> None:
    with stack.client(stack.key(budget_micro=BUDGET)) as client:
        moved_clock.now = datetime.datetime(2026, 11, 2)
        first = ask(client, "k")
        assert first.status_code == 200
        invoice = make_invoice(stack.engine, "acme", "2026-11")
        assert ask(client, "other").status_code == 429  # nothing is left of this month
        for later in (
            datetime.datetime(2026, 11, 30),
            datetime.datetime(2027, 6, 17),
            datetime.datetime(2036, 1, 1),
        ):
            moved_clock.now = later
            again = ask(client, "k")
            if later - datetime.datetime(2026, 11, 2) < datetime.timedelta(days=30):
                assert again.content == first.content
            else:  # it is no longer kept
                assert again.status_code == 409
                assert again.json()["error"]["code"] == "answer_expired"
            assert ask(client, "k", "something else").status_code == 409
            in_november = f"{later:%Y-%m}" == "2026-11"
            assert used(client, f"{later:%Y-%m}") == ((1, 33, 0) if in_november else (0, 0, 0))
        assert make_invoice(stack.engine, "acme", "2026-11") == invoice
        # In another month there is a budget again, and a new request is charged there.
        assert ask(client, "new").status_code == 200
        assert used(client, "2036-01") == (1, 39, 0)
        assert used(client, "2026-11") == (1, 33, 0)
        assert make_invoice(stack.engine, "acme", "2026-11") == invoice
    assert proxy.questions == 2
    assert verify(stack.engine) == (2, [])


@pytest.mark.parametrize(
    "jump",
    [
        datetime.timedelta(milliseconds=200),
        datetime.timedelta(days=40),
        datetime.timedelta(days=3650),
        datetime.timedelta(milliseconds=-200),
        datetime.timedelta(days=-40),
        datetime.timedelta(days=-300),
    ],
)
def test_a_clock_jumps_while_the_model_computes(
    stack: RunningGateway, moved_clock: MovedClock, proxy: GatedProxy, jump: datetime.timedelta
) -> None:
    """The month and the price are those of the reservation, whatever time it is after."""
    with stack.client(stack.key(budget_micro=BUDGET)) as client:
        with ThreadPoolExecutor(1) as pool:
            proxy.shut()
            answering = pool.submit(ask, client, "k")
            stack.wait_for_states({"reserved": 1})
            moved_clock.now = NOVEMBER + jump
            proxy.open()
            answer = answering.result()
        assert answer.json()["usage"] == {
            "input_tokens": 3,
            "cached_tokens": 0,
            "output_tokens": 3,
            "total_tokens": 6,
            "truncated_tokens": 0,
        }
        assert used(client, "2026-11") == (1, 33, 0)
        # What comes after it goes by the new time, and is one more entry of the same chain.
        again = ask(client, "k2")
        same_month = f"{moved_clock.now:%Y-%m}" == "2026-11"
        assert again.status_code == (429 if same_month else 200)
        assert ask(client, "k").content == answer.content
    with stack.engine.connect() as connection:
        accounts = connection.execute(sa.select(schema.accounts)).all()
        entries = connection.execute(
            sa.select(schema.entries).order_by(schema.entries.c.number)
        ).all()
    assert all(account.reserved_micro == 0 <= account.spent_micro for account in accounts)
    assert entries[0].price_id == "2026"
    months = sorted({f"{entry.created_at:%Y-%m}" for entry in entries})
    billed = [make_invoice(stack.engine, "acme", month) for month in months]
    assert sum(invoice.total_micro for invoice in billed) == sum(
        entry.amount_micro for entry in entries
    )
    assert verify(stack.engine) == (len(entries), [])
