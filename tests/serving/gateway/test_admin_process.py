"""Gateways started by their command: what one changes, another follows, and no log tells."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from serving.engines import RunningServer
from tests.serving.gateway.admin_client import TOKEN, TOKENS, admin_client
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until

BODY = {"model": "summarizer", "text": "one two three"}


def status(gateway: CommandGateway, key: str) -> int:
    with gateway.client(key) as client:
        return client.post("/v1/summaries", json=BODY).status_code


def test_two_gateways_and_a_key(
    tmp_path: Path, ledger_url: str, metered_models: Path, model_server: RunningServer
) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    details = Path(__file__).parents[3] / "examples" / "invoice-details.toml"
    options = (
        *("--admin-token-file", str(tmp_path / "tokens"), "--log-level", "debug"),
        *("--lease-s", "1.2", "--invoice-details", str(details)),
    )
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    urls = [model_server.rest_url]
    with (
        command_gateway(
            folders[0], metered_models, urls, *options, database=ledger_url
        ) as first,
        command_gateway(
            folders[1], metered_models, urls, *options, database=ledger_url
        ) as second,
        admin_client(first.process.admin_url) as admin,
        admin_client(second.process.admin_url) as other,
    ):
        admin("POST", "/tenants", {"name": "acme"}, 201)
        new = admin("POST", "/tenants/acme/keys", {"budget_micro": 100}, 201)
        key, path = new["key"], f"/keys/{new['record']['key_id']}"
        # 33 each, of 48 that are reserved: two of them, whichever gateway is asked.
        statuses = [status(gateway, key) for gateway in (first, second, first, second)]
        assert statuses == [200, 200, 429, 429]
        # Last use is written by whoever was asked last, some seconds later.
        wait_until(lambda: other("GET", path)["last_used_at"] is not None, "a last use")
        used = other("GET", path)["last_used_at"]
        assert status(first, key) == 429
        wait_until(lambda: admin("GET", path)["last_used_at"] > used, "a later last use")
        # What one gateway changes, the other follows.
        admin("PATCH", path, {"suspended": True})
        assert status(first, key) == 403
        wait_until(lambda: status(second, key) == 403, "a suspended key")
        third = other("POST", f"{path}/rotate", {"overlap_s": 0}, 201)["key"]
        other("PATCH", path, {"suspended": False, "budget_micro": None})
        assert status(second, third) == 200
        wait_until(lambda: status(first, third) == 200, "a rotated key")
        assert other("POST", "/ledger/check", {})["findings"] == []
        invoice = admin("GET", "/tenants/acme/invoices/2020-01")
        assert (invoice["draft"], invoice["number"]) == (None, "INV-acme-2020-01")
        ready = httpx.get(f"{first.process.admin_url}/readyz", trust_env=False)
        assert ready.status_code == 200
    for folder in folders:
        log = (folder / "gateway.log").read_text()
        assert '"route":"/admin/v1/tenants"' in log or folder is folders[1]
        for secret in (TOKEN, "f" * 64, key.split("_", 2)[2], third.split("_", 2)[2]):
            assert secret not in log


@pytest.mark.parametrize(
    ("content", "message"), [("short", "must have at least 32 ASCII"), ("", "has no token")]
)
def test_tokens_that_cannot_be_used_end_the_start(
    tmp_path: Path, metered_models: Path, content: str, message: str
) -> None:
    (tmp_path / "tokens").write_text(content)
    with command_gateway(
        tmp_path,
        metered_models,
        ["http://127.0.0.1:9"],
        *("--admin-token-file", str(tmp_path / "tokens")),
        until=None,
    ) as gateway:
        assert gateway.process.wait() == 2
    assert message in " ".join((tmp_path / "gateway.log").read_text().split())
