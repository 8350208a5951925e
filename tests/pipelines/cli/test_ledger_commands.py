"""`ledger`, `bill`, `tenants`: what is not there is an error, and nothing is made by chance."""

from __future__ import annotations

import datetime
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pipelines.cli import app
from serving.gateway.administration.health import read_health
from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.opening import open_ledger
from tests.support.fresh_ledger import sqlite_ledger

USAGE = Usage("summarizer", "7", "f" * 64, 1, 3, 0, 3, "stop", 1)
PRICES = Path(__file__).parents[3] / "examples" / "prices.toml"

# Every command that reads a ledger, and what else it needs; TENANT stands for a tenant's name.
COMMANDS = (
    ("ledger", "list", "TENANT"),
    ("ledger", "show", "TENANT", "1"),
    ("ledger", "upgrade"),
    ("ledger", "verify"),
    ("ledger", "verify", "--tenant", "TENANT"),
    ("ledger", "reverse", "TENANT", "1", "--reason", "a test"),
    ("ledger", "refund", "TENANT", "1", "--rest", "--reason", "a test"),
    ("ledger", "top-up", "TENANT", "100", "--currency", "EUR", "--reason", "a test"),
    ("ledger", "deliver", "--to", "events.jsonl"),
    ("ledger", "recover"),
    ("ledger", "anchor", "--outbox"),
    ("bill", "invoice", "TENANT", "2026-11"),
    ("bill", "savings", "TENANT", "2026-11", "--month-price=1", "--tokens-per-second=1"),
    ("bill", "audit", "--prices", str(PRICES)),
    ("bill", "audit", "--prices", str(PRICES), "--tenant", "TENANT"),
    ("tenants", "key", "TENANT"),
    ("tenants", "revoke", "0123456789abcdef"),
    ("tenants", "change", "TENANT", "--plan", "other"),
    ("tenants", "alerts", "TENANT", "50,80"),
    ("tenants", "erase", "TENANT", "--yes"),
    ("tenants", "list"),
)


def tallygraph(database: str, *arguments: str) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": "300", "TALLYGRAPH_DATABASE": database})
    result = runner.invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """A ledger with one charge."""
    url = sqlite_ledger(tmp_path)
    assert tallygraph(url, "tenants", "create", "acme")[0] == 0
    engine = open_ledger(url)
    ledger = Ledger(engine, "gateway-0")
    ledger.reserve(Reservation("r1", "acme", 1000, "0" * 64))
    ledger.settle("r1", USAGE, Charge(700, "EUR", "2026"), b"")
    engine.dispose()
    yield url


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_ledger_that_is_not_there_is_not_made(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    status, said = tallygraph(f"sqlite:///{tmp_path}/mistyped/ledger.sqlite", *command)
    assert (status, "There is no ledger at sqlite:///" in said) == (2, True), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if "TENANT" in each], ids=" ".join
)
def test_a_tenant_that_is_not_there_is_an_error(
    command: tuple[str, ...], database: str
) -> None:
    status, said = tallygraph(database, *(w.replace("TENANT", "acne") for w in command))
    assert (status, "'acne'" in said) == (2, True), said


def test_a_database_without_tables_is_made_a_ledger_by_a_word_only(tmp_path: Path) -> None:
    """As before an upgrade of a release whose first installation never came up."""
    url = f"sqlite:///{tmp_path}/new/ledger.sqlite"
    code, printed = tallygraph(url, "ledger", "upgrade", "--create")
    assert code == 0
    assert "is at revision 0" in printed
    assert tallygraph(url, "ledger", "upgrade") == (0, printed)
    assert tallygraph(url, "ledger", "verify")[0] == 0


@pytest.mark.parametrize("month", ["2026-13", "0000-01", "november"])
def test_a_month_that_is_none_is_an_error(database: str, month: str) -> None:
    for command in (
        ("ledger", "list", "acme", "--month", month),
        ("bill", "invoice", "acme", month),
        ("tenants", "list", "--month", month),
    ):
        status, said = tallygraph(database, *command)
        assert (status, "A month is expected in the form 2026-11" in said) == (2, True), said


def test_a_reversal_names_who_made_it(database: str) -> None:
    assert tallygraph(database, "ledger", "reverse", "acme", "1")[0] == 2
    status, said = tallygraph(database, "ledger", "reverse", "acme", "1", "--reason", "")
    assert (status, "A reversal needs a reason" in said) == (2, True), said
    status, said = tallygraph(
        database, "ledger", "reverse", "acme", "1", "--reason", "a wrong price"
    )
    assert status == 0, said
    shown = json.loads(tallygraph(database, "ledger", "show", "acme", "2")[1])
    user = pwd.getpwuid(os.getuid()).pw_name
    assert (shown["reason"], shown["made_by"]) == ("a wrong price", user)
    engine = open_ledger(database)
    ledger = Ledger(engine, "gateway-0")
    ledger.reserve(Reservation("r2", "acme", 1000, "0" * 64))
    ledger.settle("r2", USAGE, Charge(700, "EUR", "2026"), b"")
    engine.dispose()
    words = ("ledger", "reverse", "acme", "3", "--reason", "again", "--by", "finance")
    assert tallygraph(database, *words)[0] == 0
    assert json.loads(tallygraph(database, "ledger", "show", "acme", "4")[1])["made_by"] == (
        "finance"
    )
    assert (
        tallygraph(database, "ledger", "verify")[1].strip() == "4 entries checked, 0 findings"
    )


@pytest.mark.parametrize(
    "at", ["pat:secret@127.0.0.1:9/none", "127.0.0.1:9/none?password=secret"]
)
def test_no_message_shows_a_password(at: str) -> None:
    status, said = tallygraph(f"postgresql+psycopg://{at}", "ledger", "list", "acme")
    assert (status, "Cannot open the ledger postgresql+psycopg://" in said) == (1, True), said
    assert "secret" not in said


def test_anchors_and_keys_by_command(database: str, tmp_path: Path) -> None:
    key, anchors = tmp_path / "key", tmp_path / "anchors.jsonl"
    key.write_text("k" * 32)
    with_key = ("--key-file", str(key))
    reverse = ("ledger", "reverse", "acme", "1", "--reason", "a test", *with_key)
    assert tallygraph(database, *reverse)[0] == 0
    status, said = tallygraph(database, "ledger", "anchor", "--to", str(anchors), *with_key)
    assert (status, said.strip()) == (0, "1 lines of an anchor written, authenticated")
    words = ("ledger", "verify", *with_key, "--anchors", str(anchors))
    status, said = tallygraph(database, *words)
    assert (status, said.splitlines()) == (
        0,
        [
            "1 entries are not authenticated",
            "1 lines of anchors read",
            "2 entries checked, 0 findings",
        ],
    )
    anchors.write_text(anchors.read_text().replace('["acme",2', '["acme",3'))
    status, said = tallygraph(database, *words)
    assert (status, "the anchor was forged" in said) == (1, True), said
    assert tallygraph(database, "ledger", "anchor")[0] == 2
    key.write_text("short")
    assert tallygraph(database, *words)[0] == 2


def test_a_check_leaves_its_row_in_the_audit_log(database: str) -> None:
    assert tallygraph(database, "ledger", "verify", "--by", "nightly")[0] == 0
    engine = open_ledger(database)
    check = read_health(engine).check
    assert check is not None
    assert (check.actor, check.told["checked"], check.told["findings"]) == ("nightly", 1, [])
    # As for a user of the database who may only read, and for a disk that is full.
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TRIGGER no_more BEFORE INSERT ON audit_log "
                "BEGIN SELECT RAISE(ABORT, 'may only read'); END"
            )
        )
    engine.dispose()
    status, said = tallygraph(database, "ledger", "verify")
    assert status == 0
    assert "The audit log has no row of this check" in said
    assert "may only read" in said
    assert "1 entries checked, 0 findings" in said


def test_tenants_are_listed_a_page_at_a_time(database: str) -> None:
    for name in ("beta", "gamma", "delta"):
        assert tallygraph(database, "tenants", "create", name)[0] == 0

    def names(*words: str) -> list[str]:
        status, said = tallygraph(database, "tenants", "list", *words)
        assert status == 0, said
        return [line.split()[0] for line in said.splitlines() if " standard " in line]

    assert names() == ["acme", "beta", "delta", "gamma"]
    assert names("--limit", "2") == ["acme", "beta"]
    assert names("--limit", "2", "--after", "beta") == ["delta", "gamma"]
    assert names("--after", "gamma") == []
    assert "--after beta" in tallygraph(database, "tenants", "list", "--limit", "2")[1]
    assert "--after" not in tallygraph(database, "tenants", "list", "--limit", "4")[1]


def test_a_tenant_is_not_created_on_a_plan_without_prices(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    words = ("tenants", "create", "acme", "--prices", str(PRICES))
    status, said = tallygraph(url, *words, "--plan", "gold")
    assert (status, "no plan 'gold'. Expected: one of standard, volume." in said) == (2, True)
    assert not (tmp_path / "ledger.sqlite").exists()
    assert tallygraph(url, *words, "--plan", "volume")[0] == 0
    (tmp_path / "wrong.toml").write_text("currency = 3")
    status, said = tallygraph(url, *words[:-1], str(tmp_path / "wrong.toml"))
    assert (status, "line 1: currency: " in said) == (2, True), said


def test_refunds_top_ups_and_alerts_by_command(database: str) -> None:
    def refund(*options: str) -> tuple[int, str]:
        words = ("ledger", "refund", "acme", "1", "--reason", "a test", *options)
        return tallygraph(database, *words)

    assert refund()[0] == 2 and refund("--rest", "--amount-micro", "1")[0] == 2
    for tokens in ("output", "output=x", "words=1"):
        status, said = refund("--tokens", tokens)
        assert (status, "--tokens expects one of input, cached, output" in said) == (2, True)
    assert refund("--amount-micro", "200") == (0, "entry 2: -200 millionths EUR\n")
    status, said = refund("--amount-micro", "501")
    assert (status, "500 millionths are left" in said) == (2, True)
    assert refund("--rest", "--by", "finance") == (0, "entry 3: -500 millionths EUR\n")

    def top_up(currency: str, *options: str) -> tuple[int, str]:
        words = ("--currency", currency, "--reason", "a payment", *options)
        return tallygraph(database, "ledger", "top-up", *words)

    assert top_up("EURO", "acme", "100")[0] == 2
    once = ("--request-id", "payment-17", "acme", "100")
    assert top_up("EUR", *once) == (0, "entry 4: -100 millionths EUR\n")
    status, said = top_up("EUR", *once)
    assert (status, "payment-17 is already in the ledger" in said) == (2, True)
    assert top_up("EUR", "acme", "--", "-100")[0] == 0
    assert tallygraph(database, "ledger", "verify")[0] == 0

    alerts = ("tenants", "alerts", "acme")
    assert tallygraph(database, *alerts, "80,50")[1] == "alerts of acme at: 50 %, 80 %\n"
    assert tallygraph(database, *alerts, "none")[1] == "alerts of acme at: none\n"
    status, said = tallygraph(database, *alerts, "101")
    assert (status, "whole numbers from 1 to 100" in said) == (2, True)


def test_a_torn_anchor_does_not_hide_what_the_others_find(
    database: str, tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors.jsonl"
    for _ in range(2):
        assert tallygraph(database, "ledger", "anchor", "--to", str(anchors))[0] == 0
    words = ("ledger", "verify", "--anchors", str(anchors))
    anchors.write_text(anchors.read_text()[:-20].replace('["acme",1', '["acme",2', 1))
    status, said = tallygraph(database, *words)
    assert (status, "line 2: the last line is torn" in said) == (1, True), said
    assert "acme: entry 2 is missing" in said
    assert said.strip().endswith("1 entries checked, 2 findings")


def test_an_archived_charge_is_refunded_by_its_archive(tmp_path: Path) -> None:
    database, archives = f"sqlite:///{tmp_path}/ledger.sqlite", str(tmp_path)
    assert tallygraph(database, "tenants", "create", "acme")[0] == 0
    engine = open_ledger(database)
    ledger = Ledger(engine, "gateway-0", lambda: datetime.datetime(2026, 10, 25))
    ledger.reserve(Reservation("r1", "acme", 1000, "0" * 64))
    ledger.settle("r1", USAGE, Charge(700, "EUR", "2026"), b"")
    engine.dispose()
    words = ("ledger", "archive", "--month", "2026-10", "--to", archives, "--by", "finance")
    status, said = tallygraph(database, *words)
    assert (status, "1 of them were removed from the database now" in said) == (0, True), said
    refund = ("ledger", "refund", "acme", "1", "--rest", "--reason", "a test")
    status, said = tallygraph(database, *refund)
    assert (status, "Give the folder of the archives (--archives)" in said) == (2, True), said
    status, said = tallygraph(database, *refund, "--archives", archives)
    assert (status, said.strip()) == (0, "entry 2: -700 millionths EUR")
    for command, left in (("refund", "--rest"), ("reverse", "")):
        again = ("ledger", command, "acme", "1", "--reason", "a test", "--archives", archives)
        assert tallygraph(database, *again, *filter(None, [left]))[0] == 2
    status, said = tallygraph(database, "ledger", "verify", "--archives", archives)
    assert (status, said.strip()) == (0, "2 entries checked, 0 findings")
    changes = json.loads(tallygraph(database, "tenants", "audit-log", "--json")[1])
    told = [(each["action"], each["actor"] == "finance") for each in changes[:3]]
    assert told == [("ledger.check", False), ("ledger.refund", False), ("ledger.archive", True)]
