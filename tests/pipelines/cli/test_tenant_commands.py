"""`tenants`: keys, usage and the audit log by command, by the functions of the admin API."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from serving.gateway.tenants import Tenants
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.opening import open_ledger
from tests.support.fresh_ledger import sqlite_ledger

PRICES = Path(__file__).parents[3] / "examples" / "prices.toml"
USAGE = Usage("summarizer", "7", "f" * 64, 1, 3, 0, 3, "stop", 1)


class Commands:
    """Runs commands on a ledger, and expects a status."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._runner = CliRunner(env={"COLUMNS": "400", "TALLYGRAPH_DATABASE": database})

    def __call__(self, *words: str, status: int = 0) -> str:
        return self._run("tenants", *words, status=status)

    def ledger(self, *words: str) -> str:
        return self._run("ledger", *words)

    def _run(self, *words: str, status: int = 0) -> str:
        result = self._runner.invoke(app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), words
        assert result.exit_code == status, result.output
        return result.output.strip()

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Commands]:
    """Commands on a ledger with a tenant."""
    commands = Commands(sqlite_ledger(tmp_path))
    commands("create", "acme", "--by", "alice")
    yield commands


def test_a_keys_life(tenants: Commands) -> None:
    made = tenants(
        *("key", "acme", "--name", "[red]jobs[/]", "--scope", "summaries", "--scope", "usage"),
        *("--model", "summarizer", "--budget-micro", "70", "--expires", "2099-01-31"),
    )
    key_id = made.split("_")[1]
    key = tenants.json("keys", "acme")[1]
    assert (key["key_id"], key["name"], key["state"]) == (key_id, "[red]jobs[/]", "active")
    assert (key["scopes"], key["budget_micro"]) == (["summaries", "usage"], 70)
    assert key["expires_at"] == "2099-01-31 00:00:00"
    line = tenants("keys", "acme").splitlines()[2].split()
    assert line == [
        key_id,
        "[red]jobs[/]",
        *["active", "summaries", "usage", "summarizer", "70", "-"],
    ]
    changed = tenants("change-key", made, "--budget-micro", "none", "--expires", "none")
    assert changed.splitlines() == [
        f"{key_id}: active",
        *("name: [red]jobs[/]", "models: summarizer", "scopes: summaries usage"),
        *("budget_micro: none", "expires_at: none"),
    ]
    assert tenants("suspend", key_id).splitlines()[0] == f"{key_id}: suspended"
    assert tenants("resume", key_id).splitlines()[0] == f"{key_id}: active"
    rotated = tenants("rotate", key_id, "--overlap-s", "0")
    engine = open_ledger(tenants.database)
    known = Tenants(engine)
    assert known.authenticate(made) is None and known.authenticate(rotated) is not None
    engine.dispose()
    assert tenants("revoke", rotated) == "revoked"
    for words, message in (
        (("rotate", key_id), "is revoked, which cannot be undone"),
        (("suspend", "nothing"), "There is no key 'nothing'"),
        (("key", "acme", "--scope", "all"), "A key's scopes are some of"),
        (("key", "acme", "--expires", "soon"), "A time is expected, UTC"),
        (("key", "acme", "--expires", "2020-01-01"), "must expire in the future"),
        (("change-key", key_id, "--budget-micro", "much"), "expects a number, or none"),
        (("key", "acme", "--by", "a\nb"), "characters that can be printed"),
    ):
        assert message in tenants(*words, status=2)
    actions = [each["action"] for each in tenants.json("audit-log")]
    assert actions == [
        *("key.revoke", "key.rotate", "key.change", "key.change", "key.change", "key.create"),
        *("key.create", "tenant.create"),
    ]


def test_usage_by_day_key_and_model(tenants: Commands) -> None:
    engine = open_ledger(tenants.database)
    ledger = Ledger(engine, "gateway-0")
    for number, key_id in enumerate(("k1", "k1", "k2")):
        ledger.reserve(Reservation(f"r{number}", "acme", 1000, "0" * 64, key_id=key_id))
        ledger.settle(f"r{number}", USAGE, Charge(700, "EUR", "2026"), b"")
    engine.dispose()
    rows = tenants.json("usage", "acme", "--by", "key_id")
    assert [(row["key_id"], row["requests"], row["amount_micro"]) for row in rows] == [
        *(("k1", 2, 1400), ("k2", 1, 700))
    ]
    said = tenants("usage", "--limit", "1")
    assert "There are more" in said and said.splitlines()[-1].split()[1:] == [
        *("k1", "summarizer", "2", "6", "0", "6", "1400")
    ]
    assert "in the form 2026-11-30" in tenants("usage", "--since", "yesterday", status=2)
    assert "each once" in tenants("usage", "--by", "hour", status=2)


def test_who_changed_what(tenants: Commands) -> None:
    tenants("change", "acme", "--max-concurrent", "3")
    tenants("change", "acme", "--max-concurrent", "3")  # changes nothing
    tenants("erase", "acme", "--yes", "--by", "bob")
    changes = tenants.json("audit-log", "acme")
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [(each["actor"], each["via"], each["action"]) for each in changes] == [
        ("bob", "command", "tenant.erase"),
        (user, "command", "tenant.change"),
        ("alice", "command", "key.create"),
        ("alice", "command", "tenant.create"),
    ]
    assert (changes[1]["before"], changes[1]["after"]) == (
        {"max_concurrent": None},
        {"max_concurrent": 3},
    )
    shown = tenants("audit-log", "--limit", "2")
    assert f"There are more: --before {changes[1]['id']}" in shown
    assert '{"max_concurrent": 3}' in shown
    older = tenants("audit-log", "--before", str(changes[1]["id"]))
    assert [line.split()[3] for line in older.splitlines()[1:]] == ["alice", "alice"]


def test_a_tenant_is_not_changed_to_a_plan_without_prices(tenants: Commands) -> None:
    words = ("change", "acme", "--prices", str(PRICES), "--plan")
    assert "no plan 'gold'. Expected: one of standard, volume." in tenants(
        *words, "gold", status=2
    )
    assert tenants(*words, "volume").splitlines()[0] == "acme: plan volume"
    assert (
        tenants("change", "acme", "--plan", "unchecked").splitlines()[0].endswith("unchecked")
    )


def test_changes_of_the_ledger_say_who_made_them(tenants: Commands, tmp_path: Path) -> None:
    engine = open_ledger(tenants.database)
    ledger = Ledger(engine, "gateway-0")
    for request_id in ("r1", "r2"):
        ledger.reserve(Reservation(request_id, "acme", 1000, "0" * 64))
        ledger.settle(request_id, USAGE, Charge(700, "EUR", "2026"), b"")
    engine.dispose()
    tenants("alerts", "acme", "50,80", "--by", "finance")
    for command in (
        ("reverse", "acme", "1", "--reason", "a test"),
        ("refund", "acme", "2", "--rest", "--reason", "a test"),
        ("top-up", "acme", "100", "--currency", "EUR", "--reason", "a test"),
        ("anchor", "--to", str(tmp_path / "anchors.jsonl")),
        ("anchor", "--outbox"),
    ):
        tenants.ledger(*command, "--by", "finance")
    changes = [each for each in tenants.json("audit-log") if each["actor"] == "finance"]
    assert {each["via"] for each in changes} == {"command"}
    assert [each["action"] for each in changes[::-1]] == [
        "tenant.alerts",
        "ledger.reverse",
        "ledger.refund",
        "ledger.top_up",
        "ledger.anchor",
        "ledger.anchor",
    ]
