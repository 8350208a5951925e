"""The admin API of a gateway that runs, on each database, beside the API that it manages."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from serving.billing.invoicing import MEDIA_TYPES
from serving.engines import RunningServer
from serving.ledger import schema
from serving.ledger.database import writing
from tests.serving.gateway.admin_client import API, TOKEN, TOKENS, AdminClient, admin_client
from tests.support.running_gateway import DEADLINE_S, PRICES, RunningGateway, gateway_on

BODY = {"model": "summarizer", "text": "one two three"}


@pytest.fixture
def gateway(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> Iterator[RunningGateway]:
    with gateway_on(
        engine, tmp_path, metered_models, [model_server.rest_url], admin_tokens=TOKENS
    ) as running:
        yield running


@pytest.fixture
def admin(gateway: RunningGateway) -> Iterator[AdminClient]:
    with admin_client(gateway.admin_url) as client:
        yield client


def ask(
    gateway: RunningGateway, key: str, path: str = "/v1/summaries", **headers: str
) -> httpx.Response:
    with gateway.client(key) as client:
        if path == "/v1/summaries":
            return client.post(path, json=BODY, headers=headers)
        return client.get(path)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_from_a_tenant_to_its_invoice(
    gateway: RunningGateway, admin: AdminClient, tmp_path: Path
) -> None:
    made = admin(
        "POST", "/tenants", {"name": "acme", "limits": {"budget_micro": 5_000_000}}, 201
    )
    assert (made["plan"], made["limits"]["budget_micro"]) == ("standard", 5_000_000)
    new = admin("POST", "/tenants/acme/keys", {"name": "nightly <b>jobs</b>"}, 201)
    key, key_id = new["key"], new["record"]["key_id"]
    assert new["record"]["state"] == "active"
    assert ask(gateway, key).status_code == 200
    # What is changed holds at once, in this gateway: nothing is cached of a changed tenant.
    admin("PATCH", "/tenants/acme", {"limits": {"budget_micro": 5}})
    assert code(ask(gateway, key)) == (429, "insufficient_quota")
    admin("PATCH", "/tenants/acme", {"limits": {"budget_micro": None, "max_concurrent": 7}})
    assert ask(gateway, key).status_code == 200
    shown = admin("GET", "/tenants/acme?month=2026-11")
    assert (shown["spent_micro"], shown["limits"]["budget_micro"]) == (66, None)
    assert [each["name"] for each in shown["keys"]] == ["nightly <b>jobs</b>"]
    assert admin("GET", "/tenants/acme/keys") == {"keys": shown["keys"]}
    assert admin("GET", f"/keys/{key_id}") == shown["keys"][0]
    # Money.
    day = gateway.entries()[0].created_at.date().isoformat()
    usage = admin("GET", f"/usage?tenant=acme&since={day}&until={day}")
    assert usage["next"] is None
    assert usage["usage"] == [
        {
            "tenant": None,
            "day": day,
            "key_id": key_id,
            "model": "summarizer",
            "requests": 2,
            "input_tokens": 6,
            "cached_tokens": 0,
            "output_tokens": 6,
            "amount_micro": 66,
        }
    ]
    assert admin("GET", "/tenants/acme/invoices")["invoices"] == [
        {"month": "2026-11", "amount_micro": 66, "entries": 2}
    ]
    assert admin("GET", "/tenants/acme/invoices/2026-11")["total_micro"] == 66
    for name, kind in MEDIA_TYPES.items():
        invoice = admin.raw(f"/tenants/acme/invoices/2026-11?format={name}")
        assert (invoice.status_code, invoice.headers["content-type"]) == (200, kind)
        assert invoice.content.startswith(b"%PDF") == (name == "pdf")
    # The ledger.
    whole = admin("POST", "/ledger/check", {})
    assert (whole["checked"], whole["findings"]) == (2, [])
    lines = admin("POST", "/ledger/anchors", {"deliver": True}, 201)["lines"]
    anchored = {"tenant": "acme", "anchors": lines}
    assert admin("POST", "/ledger/check", anchored)["anchor_lines"] == 1
    with writing(gateway.engine) as connection:
        connection.execute(schema.accounts.update().values(spent_micro=5))
    (found,) = admin("POST", "/ledger/check", anchored)["findings"]
    assert found.startswith("acme: 5 millionths are spent")
    # What was changed, and by whom.
    log = admin("GET", "/audit-log")["changes"]
    assert [each["action"] for each in log] == [
        *("ledger.check", "ledger.check", "ledger.anchor", "ledger.check"),
        *("tenant.change", "tenant.change", "key.create", "tenant.create"),
    ]
    assert [each["after"]["checked"] for each in (log[0], log[1], log[3])] == [2, 2, 2]
    assert {(each["actor"], each["via"]) for each in log} == {("alice", "api")}
    assert (log[5]["before"], log[5]["after"]) == (
        {"budget_micro": 5_000_000},
        {"budget_micro": 5},
    )
    pages: list[Any] = []
    before = ""
    while True:
        page = admin("GET", f"/audit-log?tenant=acme&limit=2{before}")
        pages += page["changes"]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert pages == [each for each in log if each["tenant"]]
    assert key.split("_", 2)[2] not in str(log)


def test_a_key_is_refused_for_what_it_is_not(
    gateway: RunningGateway, admin: AdminClient
) -> None:
    admin("POST", "/tenants", {"name": "acme"}, 201)

    def make(**wish: Any) -> tuple[str, str]:
        new = admin("POST", "/tenants/acme/keys", wish, 201)
        return new["key"], f"/keys/{new['record']['key_id']}"

    reader, _ = make(scopes=["usage", "models"])
    assert ask(gateway, reader, "/v1/usage").status_code == 200
    assert ask(gateway, reader, "/v1/models").status_code == 200
    refused = ask(gateway, reader)
    assert code(refused) == (403, "insufficient_scope")
    assert "Expected: the scope 'summaries'" in refused.json()["error"]["message"]
    writer, path = make(scopes=["summaries"])
    assert ask(gateway, writer).status_code == 200
    for other in ("/v1/usage", "/v1/models", "/v1/models/summarizer"):
        assert code(ask(gateway, writer, other)) == (403, "insufficient_scope")
    # Suspended, and resumed.
    assert admin("PATCH", path, {"suspended": True})["state"] == "suspended"
    assert code(ask(gateway, writer)) == (403, "api_key_suspended")
    assert admin("PATCH", path, {"suspended": False})["state"] == "active"
    assert ask(gateway, writer).status_code == 200
    # Rotated: both secrets hold for a while, or only the new one.
    second = admin("POST", f"{path}/rotate", {"overlap_s": 600}, 201)["key"]
    assert [ask(gateway, each).status_code for each in (writer, second)] == [200, 200]
    third = admin("POST", f"{path}/rotate", {"overlap_s": 0}, 201)["key"]
    assert [ask(gateway, each).status_code for each in (writer, second, third)] == [
        *(401, 401, 200)
    ]
    # Expired, though it is cached.
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    admin("PATCH", path, {"expires_at": end.isoformat()})
    while datetime.datetime.now(datetime.UTC) < end:
        ask(gateway, third)
        time.sleep(0.05)
    expired = ask(gateway, third)
    assert code(expired) == (401, "api_key_expired")
    assert expired.headers["www-authenticate"] == 'Bearer realm="tallygraph"'
    admin("PATCH", path, {"expires_at": None})
    assert ask(gateway, third).status_code == 200
    admin("POST", f"{path}/revoke", {})
    assert code(ask(gateway, third)) == (401, "invalid_api_key")
    assert gateway.verify()[1] == []


def test_a_keys_own_budget(gateway: RunningGateway, admin: AdminClient) -> None:
    admin("POST", "/tenants", {"name": "acme", "limits": {"budget_micro": 10_000}}, 201)
    poor = admin("POST", "/tenants/acme/keys", {"budget_micro": 70}, 201)
    rich = admin("POST", "/tenants/acme/keys", {}, 201)
    # 48 are reserved, and 33 are charged.
    answered = ask(gateway, poor["key"])
    assert answered.status_code == 200
    refused = ask(gateway, poor["key"])
    assert code(refused) == (429, "insufficient_quota")
    assert "The budget of the API key of this month is 70" in refused.text
    assert refused.headers["x-ratelimit-remaining-budget-micro"] == "37"
    for answer in (answered, refused):
        assert answer.headers["x-ratelimit-limit-key-budget-micro"] == "70"
        assert answer.headers["x-ratelimit-remaining-key-budget-micro"] == "37"
        assert answer.headers["x-ratelimit-reset-key-budget"].endswith("s")
    key_id = poor["record"]["key_id"]
    with gateway.client(poor["key"]) as client:
        told = client.get("/v1/usage").json()
        of_november = client.get("/v1/usage?month=2026-11").json()["key_budget"]
    assert (told["budget_micro"], told["remaining_micro"]) == (10_000, 10_000 - 33)
    assert told["key_budget"] | {"resets_at": ""} == {
        "key_id": key_id,
        "budget_micro": 70,
        "used_micro": 33,
        "remaining_micro": 37,
        "resets_at": "",
    }
    assert of_november["resets_at"] == "2026-12-01T00:00:00Z"
    answered = ask(gateway, rich["key"])
    assert answered.status_code == 200
    assert not any("key-budget" in name for name in answered.headers)
    with gateway.client(rich["key"]) as client:
        assert client.get("/v1/usage").json()["key_budget"] is None
    admin("PATCH", f"/keys/{poor['record']['key_id']}", {"budget_micro": 81})
    assert ask(gateway, poor["key"]).status_code == 200
    by_key = admin("GET", "/usage?by=key_id")["usage"]
    assert {each["key_id"]: each["amount_micro"] for each in by_key} == {
        poor["record"]["key_id"]: 66,
        rich["record"]["key_id"]: 33,
    }


def test_what_is_not_there_or_not_valid_is_said(
    gateway: RunningGateway, admin: AdminClient
) -> None:
    admin("POST", "/tenants", {"name": "acme"}, 201)
    key = admin("POST", "/tenants/acme/keys", {}, 201)["record"]["key_id"]
    count = len(admin("GET", "/audit-log")["changes"])

    def said(method: str, path: str, body: Any = None, status: int = 400) -> str:
        return str(admin(method, path, body, status)["error"]["message"])

    assert "already exists" in said("POST", "/tenants", {"name": "acme"}, 409)
    assert "no plan 'gold'. Expected: one of standard." in said(
        "POST", "/tenants", {"name": "beta", "plan": "gold"}
    )
    assert "no plan 'gold'" in said("PATCH", "/tenants/acme", {"plan": "gold"})
    assert "limits.speed: Extra inputs" in said(
        "PATCH", "/tenants/acme", {"limits": {"speed": 1}}
    )
    assert "There is no tenant 'acne'" in said("GET", "/tenants/acne", status=404)
    assert "There is no tenant 'acne'" in said("POST", "/tenants/acne/keys", {}, 404)
    assert "There is no tenant" in said("GET", "/tenants/a%00b", status=404)
    assert "There is no tenant" in said("GET", "/tenants/acne/invoices/2026-11", status=404)
    assert "There is no key 'k'" in said("POST", "/keys/k/revoke", {}, 404)
    assert "in the future" in said(
        "PATCH", f"/keys/{key}", {"expires_at": "2020-01-01T00:00:00Z"}
    )
    assert "A time is expected" in said("PATCH", f"/keys/{key}", {"expires_at": "tomorrow"})
    assert "in the form 2026-11" in said("GET", "/tenants/acme/invoices/2026-13")
    assert "Unknown format 'doc'" in said("GET", "/tenants/acme/invoices/2026-11?format=doc")
    assert "limit must be a number from 1 to 1000" in said("GET", "/tenants?limit=1001")
    assert "by must be some of" in said("GET", "/usage?by=day,day")
    assert "next` of the page before" in said("GET", "/usage?after=%5B%22x%22%5D")
    assert "contains no anchor" in said("POST", "/ledger/check", {"anchors": ['{"type": "x"}']})
    admin("GET", "/nothing", None, 404)
    assert len(admin("GET", "/audit-log")["changes"]) == count


def test_the_price_book_is_read_again(
    gateway: RunningGateway, admin: AdminClient, tmp_path: Path
) -> None:
    before = admin("GET", "/plans")
    assert [each["name"] for each in before["plans"]] == ["standard"]
    assert admin("POST", "/prices/reload", {}) == {
        "changed": False,
        "fingerprint": before["fingerprint"],
    }
    more = (
        PRICES[PRICES.index("[[") :]
        .replace('"2026"', '"large"')
        .replace('"standard"', '"large"')
    )
    (tmp_path / "prices.toml").write_text(PRICES + more)
    assert admin("POST", "/tenants", {"name": "acme", "plan": "large"}, 400)
    assert admin("POST", "/prices/reload", {})["changed"]
    admin("POST", "/tenants", {"name": "acme", "plan": "large"}, 201)
    key = admin("POST", "/tenants/acme/keys", {}, 201)["key"]
    assert ask(gateway, key).status_code == 200
    (entry,) = gateway.entries()
    assert entry.price_id == "large"
    for wrong, what in (
        ("currency", "Cannot read the price book"),
        (PRICES, "The price 'large' has been valid since"),
        (PRICES.replace("EUR", "USD") + more, "currency cannot change"),
    ):
        (tmp_path / "prices.toml").write_text(wrong)
        assert what in admin("POST", "/prices/reload", {}, 400)["error"]["message"]
    assert ask(gateway, key).status_code == 200
    reloads = [each for each in admin("GET", "/audit-log")["changes"] if not each["tenant"]]
    assert [(each["before"]["prices"], each["after"]["prices"]) for each in reloads] == [
        (["2026"], ["2026", "large"])
    ]


def test_pages_of_tenants_and_usage(gateway: RunningGateway, admin: AdminClient) -> None:
    for name in "abc":
        admin("POST", "/tenants", {"name": name}, 201)
        key = admin("POST", f"/tenants/{name}/keys", {}, 201)["key"]
        assert ask(gateway, key).status_code == 200
    page = admin("GET", "/tenants?limit=2")
    assert ([each["name"] for each in page["tenants"]], page["next"]) == (["a", "b"], "b")
    page = admin("GET", f"/tenants?limit=2&after={page['next']}")
    assert ([each["name"] for each in page["tenants"]], page["next"]) == (["c"], None)
    first = admin("GET", "/usage?by=tenant,day&limit=2")
    rest = admin.raw(f"/usage?by=tenant,day&limit=2&after={first['next']}").json()
    assert [each["tenant"] for each in first["usage"] + rest["usage"]] == ["a", "b", "c"]
    assert rest["next"] is None


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_only_who_has_a_token_is_let_in(gateway: RunningGateway, admin: AdminClient) -> None:
    with admin_client(gateway.admin_url, "f" * 64) as other:
        other("POST", "/tenants", {"name": "acme"}, 201)
    assert admin("GET", "/audit-log")["changes"][0]["actor"] == "admin"
    for wrong in ("none", TOKEN[:-1], TOKEN + "0", gateway.key("beta"), "alice", "\u00e9" * 40):
        answer = httpx.get(
            f"{gateway.admin_url}{API}/tenants",
            headers={b"Authorization": b"Bearer " + wrong.encode()},
            timeout=DEADLINE_S,
            trust_env=False,
        )
        assert code(answer) == (401, "invalid_admin_token")
        assert answer.headers["www-authenticate"] == 'Bearer realm="tallygraph admin"'
    # It is no part of the public address.
    with gateway.client(TOKEN) as public:
        assert public.get(f"{API}/tenants").status_code == 404
