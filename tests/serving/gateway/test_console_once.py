"""A form changes something once: confirmed twice, at two gateways, or after going back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from serving.gateway.administration.entries import read_entries
from serving.gateway.console.sessions import COOKIE
from serving.ledger.audit_log import Change, read_changes
from serving.ledger.usage import credit_left
from serving.ledger.verification import verify
from tests.serving.gateway.admin_client import TOKENS
from tests.serving.gateway.console_client import PATH, ConsoleClient, charge, console_client
from tests.support.running_gateway import gateway_on, mid_month
from tests.support.tenants import add_tenant

TIMES = 5
AT_ONCE = 4


@pytest.fixture
def consoles(engine: sa.Engine, tmp_path: Path) -> Iterator[tuple[ConsoleClient, ...]]:
    """One session at two gateways, which share the ledger."""
    with ExitStack() as stack:
        clients = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            gateway = stack.enter_context(
                gateway_on(
                    engine,
                    folder,
                    folder,
                    ["http://127.0.0.1:9"],
                    name=name,
                    admin_tokens=TOKENS,
                )
            )
            clients.append(stack.enter_context(console_client(gateway.admin_url)))
        clients[0].sign_in()
        clients[1].http.cookies.set(COOKIE, clients[0].http.cookies[COOKIE], path=PATH)
        add_tenant(engine, "acme")
        yield tuple(clients)


def made(engine: sa.Engine) -> list[Change]:
    """The changes by the console, the newest first."""
    return [each for each in read_changes(engine, 100) if each.via == "console"]


def at_once(
    consoles: tuple[ConsoleClient, ...], path: str, fields: dict[str, str]
) -> list[str]:
    """The responses to a form that arrives several times at each gateway, those that are no
    redirection with their text."""
    start = threading.Barrier(AT_ONCE)

    def send(number: int) -> str:
        console = consoles[number % 2].http
        with httpx.Client(base_url=console.base_url, timeout=120, trust_env=False) as client:
            cookies = {COOKIE: console.cookies[COOKIE]}
            start.wait()
            answer = client.post(PATH + path, data=fields, headers={"Cookie": _text(cookies)})
        assert answer.status_code in (200, 303), answer.text
        return answer.text if answer.status_code == 200 else answer.headers["location"]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(send, range(AT_ONCE)))


def _text(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def test_money_that_is_confirmed_at_two_gateways_at_once_moves_once(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    charge(engine, mid_month, "acme", "one", amount_micro=1000)
    console = consoles[0]
    for number in range(TIMES):
        refund = console.confirmation(
            "refund", tenant="acme", number="1", amount="0.0001", reason=f"refund {number}"
        )
        top_up = console.confirmation("top-up", tenant="acme", amount="5", reason="paid")
        for action, fields in (("refund", refund), ("top-up", top_up)):
            answers = at_once(consoles, f"/do/{action}", fields)
            again = [each for each in answers if "done=" not in each]
            assert len(again) == AT_ONCE - 1, answers
            entry = 2 + 2 * number + (action == "top-up")
            for page in again:
                assert "done already" in page and f"entry: {entry}<" in page
    lines = read_entries(engine, "acme", 100)
    assert [(each.kind, each.amount_micro) for each in reversed(lines)] == [
        ("charge", 1000),
        *[("refund", -100), ("top_up", -5_000_000)] * TIMES,
    ]
    # What is refunded after the first top-up is credit, too.
    assert credit_left(engine, "acme") == TIMES * 5_000_000 + (TIMES - 1) * 100
    assert [each.action for each in reversed(made(engine))] == (
        ["ledger.refund", "ledger.top_up"] * TIMES
    )
    assert verify(engine)[1] == []


def test_the_rest_of_a_charge_is_refunded_once(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    """Where the second one would be refused, it is told what was done, and not why not."""
    charge(engine, mid_month, "acme", "one")
    fields = consoles[0].confirmation("refund", tenant="acme", number="1", reason="all of it")
    answers = at_once(consoles, "/do/refund", fields)
    assert sum("done already" in each for each in answers) == AT_ONCE - 1
    assert len(read_entries(engine, "acme", 10)) == 2


def test_keys_are_made_and_rotated_once(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    fields = consoles[0].confirmation("create-key", tenant="acme")
    created = at_once(consoles, "/do/create-key", fields)
    assert sum('id="secret"' in each for each in created) == 1
    (creation,) = made(engine)
    key_id = creation.subject
    fields = consoles[0].confirmation("rotate-key", key_id=key_id)
    rotated = at_once(consoles, "/do/rotate-key", fields)
    assert sum('id="secret"' in each for each in rotated) == 1
    assert [each.action for each in made(engine)] == ["key.rotate", "key.create"]


def test_a_form_that_is_sent_again_after_going_back_shows_what_was_done(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    """The browser's way back: to the page of the question, and to the tenant's page before."""
    here, there = consoles
    page = here.get("/tenants/acme")
    form = page.partition('action="/console/do/top-up"')[2]
    found = re.search(r'name="once" value="([0-9a-f]+)"', form)
    assert found, page
    fields = {"once": found[1], "tenant": "acme", "amount": "5", "reason": "paid"}
    confirmation = here.confirmation("top-up", **fields)
    assert confirmation["once"] == found[1]
    here.post("/do/top-up", confirmation, 303)
    for console in (here, there):
        assert "done already" in console.asked("top-up", 200, **fields).text
        assert "done already" in console.post("/do/top-up", confirmation, 200).text
        console.asked("top-up", 200, **{**fields, "amount": "7"})
    assert credit_left(engine, "acme") == 5_000_000
    assert found[1] not in here.get("/tenants/acme")


def test_what_was_refused_can_be_sent_again(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    fields = {**consoles[0].confirmation("refund", tenant="acme", number="1", reason="late")}
    assert "no charge" in consoles[0].post("/do/refund", fields, 400).text
    charge(engine, mid_month, "acme", "one")
    consoles[1].post("/do/refund", fields, 303)


def test_a_confirmation_is_never_taken_from_its_change(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    """No row can be put in the place of another one that has its confirmation."""
    consoles[0].act("top-up", tenant="acme", amount="5", reason="paid")
    copy = "INSERT {} INTO audit_log (at, actor, via, action, tenant, subject, before, after, "
    copy += "confirmation) SELECT at, 'mallory', via, action, tenant, subject, before, after, "
    copy += "confirmation FROM audit_log WHERE confirmation IS NOT NULL"
    kinds = ("", "OR REPLACE") if engine.dialect.name == "sqlite" else ("",)
    for kind in kinds:
        with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
            connection.execute(sa.text(copy.format(kind)))
    assert [each.actor for each in made(engine)] == ["alice"]
