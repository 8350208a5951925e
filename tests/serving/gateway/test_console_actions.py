"""What is done by the console: confirmed, once, and written into the audit log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.gateway import administration
from serving.gateway.administration.entries import read_entries
from serving.gateway.administration.health import read_health
from serving.ledger.audit_log import read_changes
from serving.ledger.usage import credit_left
from tests.serving.gateway.console_client import ConsoleClient, charge
from tests.serving.gateway.test_console_pages import (
    ON_BOTH,
    Clock,
    clock,
    console,
    gateway,
    visitor,
)
from tests.support.running_gateway import PRICES, RunningGateway
from tests.support.waiting import wait_until

__all__ = ["clock", "console", "gateway", "visitor"]


def secret_in(page: str) -> str:
    found = re.search(r'id="secret">([^<]+)<', page)
    assert found, page
    return found[1]


@ON_BOTH
def test_nothing_is_done_before_it_is_confirmed(
    gateway: RunningGateway, console: ConsoleClient
) -> None:
    page = console.asked("create-tenant", tenant="acme", plan="standard", budget="12.50").text
    assert "Create tenant?" in page and "12.50 EUR" in page
    assert read_changes(gateway.engine, 10) == []
    fields = console.confirmation("create-tenant", tenant="acme", plan="standard")
    console.post("/do/create-tenant", fields, 303)
    again = console.post("/do/create-tenant", fields, 200)
    assert "done already" in again.text and "tenant.create" in again.text
    assert len(read_changes(gateway.engine, 10)) == 1


@ON_BOTH
def test_a_tenant_and_its_limits(gateway: RunningGateway, console: ConsoleClient) -> None:
    made = console.act(
        "create-tenant", tenant="acme", plan="standard", budget="12.5", max_concurrent="7"
    )
    assert made.headers["location"] == "/console/tenants/acme?done=tenant-created"
    assert "The tenant is created." in console.get("/tenants/acme?done=tenant-created")
    assert 'role="status"' not in console.get("/tenants/acme?done=<b>")
    console.act("change-tenant", tenant="acme", plan="standard", tokens_per_minute="5")
    (tenant,) = administration.list_tenants(gateway.engine, "2026-11")
    assert tenant.limits.budget_micro is None
    assert (tenant.limits.tokens_per_minute, tenant.limits.max_concurrent) == (5, None)
    change, creation = read_changes(gateway.engine, 10)
    assert (creation.actor, creation.via, creation.after["budget_micro"]) == (
        *("alice", "console"),
        12_500_000,
    )
    assert (change.before["max_concurrent"], change.after["max_concurrent"]) == (7, None)


@ON_BOTH
def test_a_keys_life(gateway: RunningGateway, console: ConsoleClient) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    page = console.act(
        "create-key",
        200,
        tenant="acme",
        name="nightly",
        models="summarizer, other",
        scopes="summaries usage",
        budget="0.000005",
        expires="2026-12-31",
    ).text
    first = secret_in(page)
    (key,) = administration.list_keys(gateway.engine, "acme")
    assert (key.name, key.models, key.budget_micro) == ("nightly", ("summarizer", "other"), 5)
    assert f"{key.expires_at:%Y-%m-%d %H:%M}" == "2027-01-01 00:00"
    assert first not in console.get(f"/keys/{key.key_id}")
    second = secret_in(console.act("rotate-key", 200, key_id=key.key_id).text)
    assert second != first and second.startswith(f"tg_{key.key_id}_")
    for action, state in (
        ("suspend-key", "suspended"),
        ("resume-key", "active"),
        ("revoke-key", "revoked"),
    ):
        console.act(action, key_id=key.key_id)
        assert f">{state}<" in console.get(f"/keys/{key.key_id}")
    assert "Revoke key" not in console.get(f"/keys/{key.key_id}")
    actions = [each.action for each in read_changes(gateway.engine, 10)]
    assert actions == [
        *("key.revoke", "key.change", "key.change", "key.rotate", "key.create"),
        "tenant.create",
    ]
    for secret in (first, second):
        assert secret.split("_", 2)[2] not in console.get("/audit-log")


@ON_BOTH
def test_money(gateway: RunningGateway, console: ConsoleClient, clock: Clock) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    charge(gateway.engine, clock, "acme", "one")
    console.act("refund", tenant="acme", number="1", amount="0.0001", reason="too slow")
    console.act("refund", tenant="acme", number="1", reason="the rest")
    refused = console.act("refund", 400, tenant="acme", number="1", reason="more")
    assert "Nothing is left" in refused.text
    console.act("top-up", tenant="acme", amount="12.50", reason="invoice 7")
    console.act("top-up", 404, tenant="nobody", amount="1", reason="invoice 8")
    lines = read_entries(gateway.engine, "acme", 10)
    assert [(each.kind, each.amount_micro, each.made_by) for each in lines] == [
        ("top_up", -12_500_000, "alice"),
        ("refund", -140, "alice"),
        ("refund", -100, "alice"),
        ("charge", 240, ""),
    ]
    assert credit_left(gateway.engine, "acme") == 12_500_000
    actions = [each.action for each in read_changes(gateway.engine, 3)]
    assert actions == ["ledger.top_up", "ledger.refund", "ledger.refund"]
    page = console.get("/tenants/acme/entries")
    assert "too slow" in page and "-0.0001 EUR" in page
    assert gateway.verify() == (4, [])


@ON_BOTH
def test_the_ledger_is_verified_and_anchored(
    gateway: RunningGateway, console: ConsoleClient, clock: Clock
) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    charge(gateway.engine, clock, "acme", "one")
    assert "never" in console.get("/ledger")
    assert "All is as it must be." in console.act("check-ledger", 200).text
    assert "1 entries are verified" in console.act("check-ledger", 200, tenant="acme").text
    console.act("check-ledger", 404, tenant="nobody")
    assert "tallygraph.anchor" in console.act("make-anchor", 200).text
    health = read_health(gateway.engine)
    assert health.check.told["checked"] == 1 and health.check.actor == "alice"
    assert health.anchor.told["lines"] == 1
    # Where the ledger is slow, a page shows first what was read before.
    wait_until(lambda: "0 findings" in console.get("/ledger"), "the check")
    wait_until(lambda: "by alice: 1 lines" in console.get("/ledger"), "the anchor")


def test_prices_are_read_again(
    gateway: RunningGateway, console: ConsoleClient, tmp_path: Path
) -> None:
    same = console.act("reload-prices")
    assert same.headers["location"].endswith("prices-unchanged")
    book = tmp_path / "prices.toml"
    price = PRICES.partition("[[prices]]")[2].replace('"2026"', '"2026-b"')
    book.write_text(f"{PRICES}\n[[prices]]{price.replace('2020-01-01', '2026-12-01')}")
    assert console.act("reload-prices").headers["location"].endswith("prices-reloaded")
    assert "2026-b" in console.get("/prices?done=prices-reloaded")
    book.write_text("no book")
    console.act("reload-prices", 400)
    assert "2026-b" in console.get("/prices")


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("create-tenant", {"plan": "standard"}, "Tenant is missing"),
        ("create-tenant", {"tenant": "a b", "plan": "standard"}, "at most 63 letters"),
        ("create-tenant", {"tenant": "a", "plan": "gold"}, "has no plan"),
        ("create-tenant", {"tenant": "a", "plan": "standard", "budget": "1,5"}, "an amount"),
        ("create-tenant", {"tenant": "a", "plan": "standard", "budget": "-1"}, "at least 0"),
        ("create-tenant", {"tenant": "a", "plan": "standard", "max_concurrent": "x"}, "whole"),
        ("create-key", {"tenant": "acme", "expires": "soon"}, "must be a day"),
        ("create-key", {"tenant": "acme", "scopes": "all"}, "scopes are some of"),
        ("create-key", {"tenant": "acme", "expires": "2020-01-01"}, "in the future"),
        ("rotate-key", {"key_id": "0", "overlap_hours": "9999999"}, "0 to 366 days"),
        ("top-up", {"tenant": "acme", "reason": "why"}, "Amount is missing"),
        ("top-up", {"tenant": "acme", "amount": "1"}, "Reason is missing"),
        ("refund", {"tenant": "acme", "reason": "why"}, "number of the charge is missing"),
        ("refund", {"tenant": "acme", "number": "9", "reason": "why"}, "no charge"),
    ],
)
def test_what_is_wrong_is_said(
    gateway: RunningGateway,
    console: ConsoleClient,
    action: str,
    fields: dict[str, str],
    said: str,
) -> None:
    console.act("create-tenant", tenant="acme", plan="standard")
    token = console.form_token()
    sent = {"form_token": token, "confirmed": "yes", "once": "1", **fields}
    answer = console.post(f"/do/{action}", sent, 400)
    assert said in answer.text.replace("&#39;", "'")
    assert len(read_changes(gateway.engine, 10)) == 1
