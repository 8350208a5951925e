"""Many requests at once, over HTTP: a budget is never overspent, a key is charged once.

On SQLite and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.ledger import schema
from serving.ledger.verification import verify
from tests.serving.gateway.at_once import Answer, ask_until_served, request_bytes
from tests.support.running_gateway import MOST_MICRO, RunningGateway, gateway_on
from tests.support.sizes import sized

pytestmark = pytest.mark.sized

AT_ONCE = sized(quick=250, long=1000)
ALLOWED = 137
# Up to five times each: fewer connections than a gateway holds at once.
STORM = sized(quick=50, long=300)
# It reads and writes as much as the model can: it costs what is reserved for it.
DEAREST = "a b c d e f g h i"


@pytest.fixture
def stack(
    engine: sa.Engine, tmp_path: Path, model_server: RunningServer, metered_models: Path
) -> Iterator[RunningGateway]:
    with gateway_on(
        engine,
        tmp_path,
        metered_models,
        [model_server.rest_url],
        max_under_way=2 * AT_ONCE,
    ) as running:
        yield running


def test_a_budget_is_met_to_the_request(stack: RunningGateway) -> None:
    """By many requests at once, of which each costs all that is reserved for it."""
    budget = ALLOWED * MOST_MICRO + MOST_MICRO - 1
    key = stack.key(budget_micro=budget)

    request = request_bytes(key, {"model": "summarizer", "text": DEAREST})

    async def race() -> list[Answer]:
        return await asyncio.gather(
            *(ask_until_served(stack.port, request) for _ in range(AT_ONCE))
        )

    answers = asyncio.run(race())
    assert Counter(answer.status for answer in answers) == {
        200: ALLOWED,
        429: AT_ONCE - ALLOWED,
    }
    refused = {answer.error_code() for answer in answers if answer.status == 429}
    assert refused == {"insufficient_quota"}
    with stack.engine.connect() as connection:
        account = connection.execute(sa.select(schema.accounts)).one()
    assert (account.spent_micro, account.reserved_micro) == (ALLOWED * MOST_MICRO, 0)
    assert stack.states() == {"settled": ALLOWED}
    assert verify(stack.engine) == (ALLOWED, [])


def test_a_storm_of_retries_is_charged_once_each(stack: RunningGateway) -> None:
    """Each request is sent once to five times at once by the same key."""
    dice = random.Random(20261125)
    key = stack.key()
    times = [dice.randint(1, 5) for _ in range(STORM)]

    async def until_answered(number: int) -> tuple[int, bytes]:
        body = {"model": "summarizer", "text": " ".join(["word"] * (1 + number % 10))}
        request = request_bytes(key, body, f"request-{number}")
        while (answer := await ask_until_served(stack.port, request)).status != 200:
            assert (answer.status, answer.error_code()) == (409, "request_in_progress")
            await asyncio.sleep(dice.uniform(0.01, 0.1))
        return number, answer.content

    async def storm() -> list[tuple[int, bytes]]:
        sent = [number for number, count in enumerate(times) for _ in range(count)]
        dice.shuffle(sent)
        return await asyncio.gather(*(until_answered(number) for number in sent))

    answers = asyncio.run(storm())
    assert len(answers) == sum(times) > STORM
    assert len(set(answers)) == STORM
    assert len({content for _, content in answers}) == STORM
    expected = sum(
        min(1 + number % 10, 8) + 10 * min(1 + number % 10, 4) for number in range(STORM)
    )
    with stack.engine.connect() as connection:
        account = connection.execute(sa.select(schema.accounts)).one()
    assert (account.spent_micro, account.reserved_micro) == (expected, 0)
    assert verify(stack.engine) == (STORM, [])
