"""Takes the pictures of docs/console.md: `.venv/bin/python -m scripts.console_pictures`.

A ledger is filled with thirty days of a few tenants, and the console is shown by the same
browser that `make test-long` tries it with.
"""

from __future__ import annotations

import datetime
import random
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Page
from sqlalchemy import Engine

from scripts.manifests import ROOT
from serving.gateway.administration import Administrator, KeyWish, create_tenant, make_key
from serving.gateway.tenants import Limits
from serving.ledger.database import open_database
from serving.ledger.upgrade import upgrade
from tests.serving.gateway.admin_client import TOKEN, TOKENS
from tests.serving.gateway.chromium import browser
from tests.serving.gateway.console_client import charge
from tests.support.running_gateway import gateway_on

PICTURES: Final = ROOT / "docs/pictures"
MOST_BYTES: Final = 150_000
_NOW: Final = datetime.datetime(2026, 11, 30, 15, 4, 5)
_TENANTS: Final = ("acme", "globex", "initech", "umbrella")


def main() -> None:
    """Take them."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
        upgrade(engine)
        _fill(engine)
        urls = ["http://127.0.0.1:9"]
        with (
            gateway_on(
                engine, Path(folder), Path(folder), urls, lambda: _NOW, admin_tokens=TOKENS
            ) as gateway,
            browser() as running,
        ):
            page = running.new_page(viewport={"width": 1100, "height": 760})
            _sign_in(page, gateway.admin_url)
            _take(page, f"{gateway.admin_url}/console", "console-overview", "light")
            _take(page, f"{gateway.admin_url}/console/tenants/acme", "console-tenant", "dark")
            page.set_viewport_size({"width": 380, "height": 760})
            _take(page, f"{gateway.admin_url}/console/audit-log", "console-phone", "light")
        engine.dispose()


def _sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/console/sign-in")
    page.fill("input[type=password]", TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("svg.chart")


def _take(page: Page, address: str, name: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    file = PICTURES / f"{name}.png"
    page.screenshot(path=file)
    if file.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{file} has {file.stat().st_size} bytes, more than {MOST_BYTES}.")
    print(file)


def _fill(engine: Engine) -> None:
    chance = random.Random(7)
    began = _NOW - datetime.timedelta(days=29)
    by = Administrator(engine, "alice", "console", clock=lambda: began)
    keys = {}
    for tenant in _TENANTS:
        create_tenant(by, tenant, "standard", Limits(budget_micro=chance.randint(2, 9) * 10**5))
        keys[tenant] = make_key(by, tenant, KeyWish(name="nightly jobs")).record.key_id
    for day in range(30):
        at = began + datetime.timedelta(days=day)
        for number in range(chance.randint(4, 16)):
            tenant = chance.choice(_TENANTS)
            charge(
                engine,
                lambda: at,  # noqa: B023  (called before the next day)
                tenant,
                f"{day}-{number}",
                key_id=keys[tenant],
                amount_micro=chance.randint(900, 4800),
            )


if __name__ == "__main__":
    main()
