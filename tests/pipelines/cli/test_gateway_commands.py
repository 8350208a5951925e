"""The gateway, its tenants and its ledger by their commands, without TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pipelines.cli import app
from serving.engines import ServerSpec, choose_engine
from serving.engines.base import free_ports
from tokenizer.contract import MeteringRecord

ROOT = Path(__file__).parents[3]
# Whoever imports one of these in a process of the gateway's fails.
_WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'tfx', 'keras', "
    "'apache_beam', 'grpc'])); from pipelines.cli import main; main()"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A small metered model's folder, and the address of a server of it."""
    from tests.support.metered_model import export_metered_model

    base = tmp_path_factory.mktemp("models") / "summarizer"
    export_metered_model(base / "7")
    MeteringRecord(1, "words", "words", "f" * 64, 1, 8, 4, "", "run", (), "code").save(
        base / "7"
    )
    with choose_engine("local").start(ServerSpec.single("summarizer", base)) as server:
        server.wait_until_available(120)
        yield base, server.rest_url


def test_from_a_tenant_to_a_verified_ledger(model: tuple[Path, str], tmp_path: Path) -> None:
    base, model_url = model
    database = f"sqlite:///{tmp_path}/ledger/usage.sqlite"
    environment = {**os.environ, "TALLYGRAPH_DATABASE": database, "COLUMNS": "200"}

    def tallygraph(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT, *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    key = tallygraph("tenants", "create", "acme", "--budget-micro", "1000000").strip()
    assert "There is a tenant 'acme' already" in tallygraph(
        "tenants", "create", "acme", status=2
    )
    (tmp_path / "prices.toml").write_text(
        'currency = "EUR"\n[[prices]]\nid = "1"\nvalid_from = 2026-01-01\n'
        'model = "summarizer"\nplan = "standard"\nprice_micro_per_1k_input_tokens = 1000\n'
        "price_micro_per_1k_cached_tokens = 0\nprice_micro_per_1k_output_tokens = 1000\n"
    )
    (port,) = free_ports(1)
    gateway = subprocess.Popen(
        [
            *(sys.executable, "-c", _WITHOUT, "gateway"),
            *("--prices", str(tmp_path / "prices.toml"), "--port", str(port)),
            *("--model-dir", str(base), "--model-url", model_url),
        ],
        env=environment,
        cwd=ROOT,
    )
    try:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key) as client:
            answer = _once_it_listens(client)
            changed = tallygraph("tenants", "change", "acme", "--budget-micro", "6")
            assert changed.splitlines()[:2] == ["acme: plan standard", "budget_micro: 6"]
            _until_it_is_refused(client)
    finally:
        gateway.terminate()
        assert gateway.wait(30) in (0, -15)
    assert answer.usage.total_tokens == 6
    assert "1 entries checked, 0 findings" in tallygraph("ledger", "verify")
    listed = tallygraph("ledger", "list", "acme", "--request", answer.id).splitlines()
    assert len(listed) == 2, listed
    assert listed[1].split()[3:] == [
        *("charge", "summarizer", "7", "3", "0", "3", "6", "EUR"),
        answer.id.removeprefix("chatcmpl-"),
    ]
    shown = json.loads(tallygraph("ledger", "show", "acme", "1"))
    assert (shown["input_tokens"], shown["tokenizer_fingerprint"]) == (3, "f" * 64)
    assert shown["month"] in tallygraph("bill", "invoice", "acme", shown["month"])
    assert "has no entry 2 of 'acme'" in tallygraph("ledger", "show", "acme", "2", status=2)
    reversal = tallygraph("ledger", "reverse", "acme", "1", "--reason", "a test")
    assert "entry 2: -6 millionths EUR" in reversal
    (acme,) = json.loads(tallygraph("tenants", "list", "--json"))
    assert (acme["spent_micro"], acme["limits"]["budget_micro"]) == (0, 6)
    assert [each["revoked_at"] for each in acme["keys"]] == [None]
    tallygraph("tenants", "revoke", key)
    assert tallygraph("tenants", "list").splitlines()[1].split() == [
        *("acme", "standard", "0", "6", "-", "-", "-", "0")
    ]
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE accounts SET spent_micro = 5"))
    engine.dispose()
    assert "acme: 5 millionths are spent" in tallygraph("ledger", "verify", status=1)


def _once_it_listens(client: openai.OpenAI) -> openai.types.chat.ChatCompletion:
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.chat.completions.create(
                model="summarizer", messages=[{"role": "user", "content": "one two three"}]
            )
        except openai.APIConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def _until_it_is_refused(client: openai.OpenAI) -> None:
    """A running gateway takes up another budget, soon."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            client.with_options(max_retries=0).chat.completions.create(
                model="summarizer", messages=[{"role": "user", "content": "one two three"}]
            )
        except openai.RateLimitError as error:
            assert error.code == "insufficient_quota"
            return
    raise AssertionError("the budget of 6 millionths was never found too small")


def test_changing_a_tenant_is_refused_where_it_makes_no_sense(tmp_path: Path) -> None:
    database = ["--database", f"sqlite:///{tmp_path}/ledger.sqlite"]

    def tenants(*arguments: str) -> tuple[int, str]:
        command = ["tenants", *arguments, *database]
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, command)
        return result.exit_code, result.output

    assert tenants("create", "acme", "--requests-per-minute", "5")[0] == 0
    for arguments, message in (
        (("nobody", "--plan", "other"), "There is no tenant 'nobody'."),
        (("acme", "--plan", "what is this"), "A name is at most 63 letters"),
        (("acme", "--budget-micro", "-1"), "--budget-micro expects a number or none."),
        (("acme", "--max-concurrent", "0"), "max_concurrent must be at least 1. Received: 0"),
    ):
        status, said = tenants("change", *arguments)
        assert (status, message in said) == (2, True), said
    status, said = tenants("change", "acme", "--requests-per-minute", "none", "--plan", "b")
    assert (status, said.splitlines()) == (
        0,
        [
            "acme: plan b",
            "budget_micro: no limit",
            "requests_per_minute: no limit",
            "tokens_per_minute: no limit",
            "max_concurrent: no limit",
        ],
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--database", "what is this"), "The database's URL is none. Expected: sqlite:///"),
        (("--rates", "memory://"), "Rates are counted in async+memory://"),
        (("--rates", "what"), "Rates are counted in async+memory://"),
        (("--cache", "memcached://host"), "A cache is 'memory' or the URL of a Redis"),
        (("--log-level", "loud"), "Expected: debug, info, warning, error."),
        (("--prices", "nothing.toml"), "Cannot read the price book nothing.toml"),
    ],
)
def test_a_gateway_that_cannot_start_says_why(
    options: tuple[str, str], message: str, tmp_path: Path
) -> None:
    given = {
        "--prices": str(ROOT / "examples" / "prices.toml"),
        "--database": f"sqlite:///{tmp_path}/ledger.sqlite",
        options[0]: options[1],
    }
    arguments = [word for pair in given.items() for word in pair]
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["gateway", *arguments])
    assert (result.exit_code, message in result.output) == (2, True), result.output
