"""The console of a gateway that runs: who may see what, and what every response carries."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa

from serving.gateway.console.actions import ACTIONS
from serving.gateway.console.sessions import COOKIE, IDLE_S, MAX_AGE_S
from serving.ledger.audit_log import read_changes
from serving.ledger.database import open_database
from tests.serving.gateway.admin_client import TOKENS
from tests.serving.gateway.console_client import (
    PATH,
    ConsoleClient,
    charge,
    console_client,
)
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import RunningGateway, gateway_on

ON_BOTH: Final = pytest.mark.parametrize(
    "console_ledger", ["sqlite", "postgresql"], indirect=True
)
"""Of tests of what is read from the database and written there."""
PAGES: Final = ("", "/tenants", "/models", "/ledger", "/prices", "/audit-log")
SECRETS: Final = ("0123456789abcdef0123456789abcdef", "f" * 64)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 11, 10, 12)

    def __call__(self) -> datetime.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(tmp_path: Path, clock: Clock, console_ledger: str) -> Iterator[RunningGateway]:
    """With an empty ledger, and no model server: the console needs none."""
    engine = open_database(console_ledger)
    with gateway_on(
        engine, tmp_path, tmp_path, ["http://127.0.0.1:9"], clock, admin_tokens=TOKENS
    ) as running:
        yield running
    engine.dispose()


@pytest.fixture
def visitor(gateway: RunningGateway) -> Iterator[ConsoleClient]:
    with console_client(gateway.admin_url) as client:
        yield client


@pytest.fixture
def console(visitor: ConsoleClient) -> ConsoleClient:
    visitor.sign_in()
    return visitor


@pytest.fixture
def engine(gateway: RunningGateway) -> sa.Engine:
    return gateway.engine


@pytest.mark.parametrize("page", PAGES)
@ON_BOTH
def test_every_page_of_an_empty_ledger(console: ConsoleClient, page: str) -> None:
    assert "<h1>" in console.get(page)


@ON_BOTH
def test_an_empty_tenant(console: ConsoleClient) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    for page in ("/tenants/acme", "/tenants/acme/entries", "/tenants"):
        assert "acme" in console.get(page)
    assert "There is no key." in console.get("/tenants/acme")
    assert "There is no tenant" in console.get("/tenants/other", 404)
    assert "There is no key" in console.get("/keys/0123456789abcdef", 404)
    assert "There is no page" in console.get("/nothing", 404)


@pytest.mark.parametrize("page", ["/sign-in", *PAGES, "/nothing", "/console.css"])
def test_what_every_response_carries(console: ConsoleClient, page: str) -> None:
    headers = console.http.get(PATH + page).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert ("no-store" in headers["cache-control"]) == (page != "/console.css")


def test_the_cookie_is_for_the_console_alone(visitor: ConsoleClient) -> None:
    for answer in (visitor.http.get(f"{PATH}/sign-in"), visitor.sign_in()):
        said = {each.strip() for each in answer.headers["set-cookie"].lower().split(";")[1:]}
        assert said == {"httponly", "samesite=strict", "path=/console"}
    visitor.http.cookies.clear()
    proxied = visitor.http.get(f"{PATH}/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" in proxied.headers["set-cookie"]


@pytest.mark.parametrize("page", PAGES)
def test_who_has_not_signed_in_sees_nothing(visitor: ConsoleClient, page: str) -> None:
    answer = visitor.http.get(PATH + page)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}/sign-in")
    assert answer.text == ""


@pytest.mark.parametrize(
    "secret", ["", "wrong", "0" * 32, "f" * 63, f"tg_{'0' * 16}_{'a' * 43}"]
)
def test_a_wrong_token_signs_nobody_in(visitor: ConsoleClient, secret: str) -> None:
    assert "This is no admin token" in visitor.sign_in(secret, 403).text
    visitor.get("/tenants", 303)


def test_sign_out_ends_the_session_in_this_browser(console: ConsoleClient) -> None:
    console.post("/sign-out", {"form_token": console.form_token()}, 303)
    console.get("/tenants", 303)


def test_a_session_expires_when_it_is_not_used(
    gateway: RunningGateway, console: ConsoleClient, clock: Clock
) -> None:
    token = console.form_token()
    clock.move(IDLE_S - 1)
    console.get("/tenants")
    clock.move(IDLE_S)
    fields = {"form_token": token, "tenant": "acme", "plan": "standard"}
    answer = console.post("/do/create-tenant", fields, 403)
    assert "may have expired" in answer.text
    console.get("/tenants", 303)
    assert read_changes(gateway.engine, 10) == []


def test_a_session_that_is_used_expires_too(console: ConsoleClient, clock: Clock) -> None:
    began = clock.now
    step = IDLE_S // 2
    while (clock.now - began).total_seconds() + step < MAX_AGE_S:
        clock.move(step)
        console.get("/tenants")
    clock.move(step)
    console.get("/tenants", 303)


@pytest.mark.parametrize("place", ["content", "signature"])
def test_a_changed_cookie_is_nobodys(console: ConsoleClient, place: str) -> None:
    content, _, signature = console.http.cookies[COOKIE].partition(".")
    console.http.cookies.clear()
    changed = {
        "content": f"A{content[1:]}.{signature}" if content[0] != "A" else f"B.{signature}",
        "signature": f"{content}.{'0' * 64}",
    }[place]
    answer = console.http.get(f"{PATH}/tenants", headers={"Cookie": f"{COOKIE}={changed}"})
    assert answer.status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "é", "of another session"])
def test_a_form_of_another_page_does_nothing(
    gateway: RunningGateway, console: ConsoleClient, token: str
) -> None:
    if token == "of another session":
        with console_client(gateway.admin_url) as other:
            other.sign_in()
            token = other.form_token()
    fields = {"form_token": token, "confirmed": "yes", "once": "1", "tenant": "acme"}
    fields |= {"plan": "standard", "key_id": "0", "reason": "no", "number": "1"}
    for action in (*ACTIONS, "nothing"):
        answer = console.post(f"/do/{action}", fields, 403)
        assert "Nothing was done" in answer.text
    console.post("/sign-out", fields, 403)
    console.get("/tenants")
    assert read_changes(gateway.engine, 10) == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=" + b"b" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=b" for _ in range(200)), "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"form_token=%ED%A0%80", "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_form_has_bounds(console: ConsoleClient, body: bytes, kind: str, status: int) -> None:
    answer = console.http.post(
        f"{PATH}/do/create-tenant", content=body, headers={"Content-Type": kind}
    )
    assert answer.status_code == status


@ON_BOTH
def test_a_tenant_sees_itself_and_nobody_else(
    gateway: RunningGateway, visitor: ConsoleClient, clock: Clock
) -> None:
    mine, others = gateway.key("mine"), gateway.key("others")
    for tenant in ("mine", "others"):
        charge(gateway.engine, clock, tenant, f"of-{tenant}")
    assert visitor.sign_in(mine).headers["location"] == f"{PATH}/account"
    page = visitor.get("/account")
    other_id = others.split("_")[1]
    assert "mine" in page and mine.split("_")[1] in page
    assert "others" not in page and other_id not in page
    assert visitor.http.get(PATH).headers["location"] == f"{PATH}/account"
    invoice = visitor.http.get(f"{PATH}/account/invoices/2026-11?tenant=others")
    assert "mine" in invoice.text and "others" not in invoice.text
    assert "sandbox" in invoice.headers["content-security-policy"]
    pdf = visitor.http.get(f"{PATH}/account/invoices/2026-11?format=pdf")
    assert pdf.content.startswith(b"%PDF")
    assert pdf.headers["content-disposition"] == 'attachment; filename="mine-2026-11.pdf"'
    for closed in (
        *PAGES[1:],
        *("/tenants/mine", "/tenants/others", "/tenants/others/entries"),
        *("/tenants/others/invoices/2026-11", f"/keys/{other_id}"),
    ):
        assert "others" not in visitor.get(closed, 404).replace(closed, "")
    token = visitor.form_token("/account")
    for action in ACTIONS:
        visitor.post(f"/do/{action}", {"form_token": token, "tenant": "mine"}, 403)


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("revoke-key", {}),
        ("suspend-key", {}),
        ("rotate-key", {"overlap_hours": "0"}),
    ],
)
@ON_BOTH
def test_a_tenants_session_ends_with_its_key(
    gateway: RunningGateway, console: ConsoleClient, action: str, fields: dict[str, str]
) -> None:
    key = gateway.key("acme")
    with console_client(gateway.admin_url) as tenant:
        tenant.sign_in(key)
        tenant.get("/account")
        status = 200 if action == "rotate-key" else 303
        console.act(action, status, key_id=key.split("_")[1], **fields)
        tenant.get("/account", 303)
        tenant.sign_in(key, 403)


def test_a_key_that_may_not_read_usage_signs_nobody_in(
    console: ConsoleClient, gateway: RunningGateway
) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    page = console.act("create-key", 200, tenant="acme", scopes="summaries").text
    key = page.partition('id="secret">')[2].partition("<")[0]
    with console_client(gateway.admin_url) as tenant:
        tenant.sign_in(key, 403)


def test_without_admin_tokens_only_tenants_sign_in(tmp_path: Path, clock: Clock) -> None:
    engine = open_database(sqlite_ledger(tmp_path))
    urls = ["http://127.0.0.1:9"]
    with (
        gateway_on(engine, tmp_path, tmp_path, urls, clock) as gateway,
        console_client(gateway.admin_url) as visitor,
    ):
        assert "--admin-token-file" in visitor.get("/sign-in")
        for secret in SECRETS:
            visitor.sign_in(secret, 403)
        key = gateway.key("acme")
        visitor.sign_in(key)
        assert "acme" in visitor.get("/account")
    engine.dispose()
