"""The console in a real browser: from a tenant's creation to the refusal of its revoked key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from serving.engines import RunningServer
from serving.ledger.database import open_database
from tests.serving.gateway.admin_client import TOKEN, TOKENS
from tests.serving.gateway.chromium import browser, serious_findings
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import DEADLINE_S, RunningGateway, gateway_on
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

pytestmark = pytest.mark.long
BODY = {"model": "summarizer", "text": "one two three"}
PHONE = {"width": 360, "height": 740}


class Watched:
    """A page of the browser, and what must not happen in it.

    Attributes:
      wrong: errors and warnings of its console, and requests to other hosts.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._asked)
        page.set_default_timeout(DEADLINE_S * 1000)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.wrong.append(request.url)

    def open(self, path: str) -> None:
        answer = self.page.goto(f"{self.url}/console{path}")
        assert answer and answer.status == 200, path
        self.check()

    def click(self, button: str) -> None:
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).click()
        self.check()

    def reads(self, text: str) -> bool:
        return text in " ".join(self.page.inner_text("main").split())

    def sign_in(self, secret: str) -> None:
        self.open("/sign-in")
        self.page.get_by_label("Admin token, or a tenant's API key").fill(secret)
        self.click("Sign in")

    def check(self) -> None:
        """The page can be used by everybody, in both colours, on a phone too."""
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            assert serious_findings(self.page) == [], (self.page.url, scheme)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        before = self.page.viewport_size
        self.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        assert self.page.evaluate(wide) == 0, f"{self.page.url} is wider than a phone"
        assert before is not None
        self.page.set_viewport_size(before)
        assert self.wrong == [], self.page.url


@pytest.fixture
def gateway(
    tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> Iterator[RunningGateway]:
    engine = open_database(sqlite_ledger(tmp_path))
    urls = [model_server.rest_url]
    with gateway_on(engine, tmp_path, metered_models, urls, admin_tokens=TOKENS) as running:
        yield running
    engine.dispose()


@pytest.fixture
def watched(gateway: RunningGateway) -> Iterator[Watched]:
    with browser() as running:
        yield Watched(running.new_page(), gateway.admin_url)


def ask(gateway: RunningGateway, key: str) -> httpx.Response:
    with gateway.client(key) as client:
        return client.post("/v1/summaries", json=BODY)


def test_a_tenant_a_request_and_its_refusal(gateway: RunningGateway, watched: Watched) -> None:
    page = watched.page
    watched.sign_in(TOKEN)
    watched.open("/tenants")
    page.get_by_text("Create a tenant").click()
    page.get_by_label("Name", exact=True).fill("acme")
    page.get_by_label("Budget of a month").fill("12.50")
    watched.click("Create tenant")
    assert watched.reads("Create tenant?") and watched.reads("12.50 EUR")
    watched.click("Create tenant")
    assert watched.reads("The tenant is created.")
    page.get_by_text("Create a key").click()
    page.get_by_label("Name, for people").fill("nightly <b>jobs</b>")
    watched.click("Create key")
    watched.click("Create key")
    key = page.inner_text("#secret")
    key_id = key.split("_")[1]
    assert ask(gateway, key).status_code == 200
    # Counted and billed: 3 input and 3 output tokens.
    watched.open("/tenants/acme")
    assert watched.reads("nightly <b>jobs</b>")
    assert watched.reads(f"{key_id} 1 3 0 3 0.000033")
    watched.open("/tenants/acme/entries")
    assert watched.reads("charge summarizer") and watched.reads("0.000033 EUR")

    def counted() -> bool:
        """The overview reads its sums now and then."""
        page.goto(f"{gateway.admin_url}/console")
        return "2026-11-10: 0.000033<" in page.content()

    wait_until(counted, "the request on the overview")
    watched.open("")
    assert watched.reads("acme 0.000033 12.50")
    invoice = page.goto(f"{gateway.admin_url}/console/tenants/acme/invoices/2026-11")
    assert invoice and invoice.status == 200 and "acme" in page.inner_text("body")
    for path in ("/models", "/ledger", "/prices"):
        watched.open(path)
    watched.click("Reload the price book")
    page.goto(f"{gateway.admin_url}/console/ledger")
    watched.click("Verify the ledger")
    watched.click("Verify the ledger")
    assert watched.reads("1 entries are verified. All is as it must be.")
    # Revoked, and refused.
    watched.open(f"/keys/{key_id}")
    watched.click("Revoke key")
    assert watched.reads("This cannot be undone.")
    watched.click("Revoke key")
    assert watched.reads("The key is revoked.")
    refused = ask(gateway, key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    watched.open("/audit-log")
    for action in ("key.revoke", "ledger.check", "key.create", "tenant.create"):
        assert watched.reads(f"alice console {action}")
    watched.click("Sign out")
    assert page.url.endswith("/console/sign-in")
    page.goto(f"{gateway.admin_url}/console/tenants")
    assert page.url.endswith("/console/sign-in")


def test_a_tenant_looks_at_itself(gateway: RunningGateway, watched: Watched) -> None:
    key = gateway.key("acme", budget_micro=1_000_000)
    gateway.key("others")
    assert ask(gateway, key).status_code == 200
    watched.sign_in(key)
    watched.open("/account")
    assert watched.reads("summarizer 1 3 0 3 0.000033")
    assert not watched.reads("others")
