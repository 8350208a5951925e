"""The gateway, its tenants and its ledger by their commands, without TensorFlow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import openai
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.gateway_process import GatewayProcess
from serving.engines import RunningServer
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
# Whoever imports one of these in a process of the gateway's fails.
_WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys(['tensorflow', 'tfx', 'keras', "
    "'apache_beam', 'grpc']))"
)
# One command after another, each as `main` would run it: a process for each takes a second.
_COMMANDS = f"""
{_WITHOUT}
import json
from typer.testing import CliRunner
from pipelines.cli import app
for line in sys.stdin:
    result = CliRunner().invoke(app, json.loads(line))
    print(json.dumps([result.exit_code, result.output]), flush=True)
"""


class Commands:
    """Runs commands of `tallygraph` in a process of their own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMANDS],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, status: int = 0) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        received, output = json.loads(self._process.stdout.readline())
        assert received == status, output
        return str(output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # at the end of its input, it ends


def test_from_a_tenant_to_a_verified_ledger(
    model_server: RunningServer, metered_models: Path, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/ledger/usage.sqlite"
    environment = {**os.environ, "TALLYGRAPH_DATABASE": database, "COLUMNS": "200"}

    with Commands(environment) as tallygraph:
        _sell(tallygraph, model_server, metered_models, tmp_path, environment)
        engine = sa.create_engine(database)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE accounts SET spent_micro = 5"))
        engine.dispose()
        assert "acme: 5 millionths are spent" in tallygraph("ledger", "verify", status=1)


def _sell(
    tallygraph: Commands,
    model_server: RunningServer,
    metered_models: Path,
    folder: Path,
    environment: dict[str, str],
) -> None:
    key = tallygraph("tenants", "create", "acme", "--budget-micro", "1000000").strip()
    assert "A tenant 'acme' already exists" in tallygraph("tenants", "create", "acme", status=2)
    (folder / "prices.toml").write_text(
        'currency = "EUR"\n[[prices]]\nid = "1"\nvalid_from = 2020-01-01\n'
        'model = "summarizer"\nplan = "standard"\nprice_micro_per_1k_input_tokens = 1000\n'
        "price_micro_per_1k_cached_tokens = 0\nprice_micro_per_1k_output_tokens = 1000\n"
    )
    gateway = GatewayProcess(
        folder / "prices.toml",
        metered_models,
        [model_server.rest_url],
        folder / "gateway.log",
        environment=environment,
        setup=_WITHOUT,
    )
    with (
        gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as client,
    ):
        gateway.wait_until()
        answer = _ask(client)
        changed = tallygraph("tenants", "change", "acme", "--budget-micro", "6")
        assert changed.splitlines()[:2] == ["acme: plan standard", "budget_micro: 6"]
        # A running gateway takes it up, soon.
        wait_until(lambda: _budget_micro(client) == 6, "the changed budget")
        with pytest.raises(openai.RateLimitError) as refused:
            _ask(client)
        assert refused.value.code == "insufficient_quota"
    assert gateway.exit_status() in (0, -signal.SIGTERM)
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
    assert "has no entry 2 for tenant 'acme'" in tallygraph(
        "ledger", "show", "acme", "2", status=2
    )
    reversal = tallygraph("ledger", "reverse", "acme", "1", "--reason", "a test")
    assert "entry 2: -6 millionths EUR" in reversal
    (acme,) = json.loads(tallygraph("tenants", "list", "--json"))
    assert (acme["spent_micro"], acme["limits"]["budget_micro"]) == (0, 6)
    assert [each["revoked_at"] for each in acme["keys"]] == [None]
    tallygraph("tenants", "revoke", key)
    assert tallygraph("tenants", "list").splitlines()[1].split() == [
        *("acme", "standard", "0", "6", "-", "-", "-", "0")
    ]


def _ask(client: openai.OpenAI) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(
        model="summarizer", messages=[{"role": "user", "content": "one two three"}]
    )


def _budget_micro(client: openai.OpenAI) -> int:
    """The budget that the gateway knows of. To ask for it costs nothing."""
    return int(client.get("/usage", cast_to=dict[str, Any])["budget_micro"])


def test_changing_a_tenant_is_refused_where_it_makes_no_sense(tmp_path: Path) -> None:
    database = ["--database", f"sqlite:///{tmp_path}/ledger.sqlite"]

    def tenants(*arguments: str) -> tuple[int, str]:
        command = ["tenants", *arguments, *database]
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, command)
        return result.exit_code, result.output

    assert tenants("create", "acme", "--requests-per-minute", "5")[0] == 0
    for arguments, message in (
        (("nobody", "--plan", "other"), "There is no tenant 'nobody'."),
        (
            ("acme", "--plan", "what is this"),
            "The name of a tenant or plan must be at most 63 letters",
        ),
        (
            ("acme", "--budget-micro", "-1"),
            "--budget-micro expects a number, or none for no limit.",
        ),
        (("acme", "--max-concurrent", "0"), "max_concurrent must be at least 1 and at most"),
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
        (
            ("--database", "what is this"),
            "The database's URL is not valid. Expected: sqlite:///",
        ),
        (
            ("--rates", "memory://"),
            "The storage of rates is not valid. Expected: async+memory://",
        ),
        (("--rates", "what"), "The storage of rates is not valid. Expected: async+memory://"),
        (
            ("--cache", "memcached://host"),
            "The cache is not valid. Expected: 'memory', or the URL of a Redis",
        ),
        (
            ("--rates", "redis://:secret@host"),
            "The URL for --rates has a password, and every user of this machine can read",
        ),
        (
            ("--cache", "rediss://user:secret@host:6379/0"),
            "Set TALLYGRAPH_CACHE, or write the URL into a file and use --cache file:/path.",
        ),
        (("--cache", "file:nothing.url"), "Cannot read the URL for --cache: [Errno 2]"),
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
    assert "secret" not in result.output


def test_urls_with_passwords_come_by_the_environment_or_by_a_file(tmp_path: Path) -> None:
    """Each is read: what is wrong with it is said without its password."""
    (tmp_path / "cache.url").write_text("redis://:secret@host:port/0\n")
    arguments = ["gateway", "--prices", str(ROOT / "examples" / "prices.toml")]
    arguments += ["--database", f"sqlite:///{tmp_path}/ledger.sqlite"]
    for options, environment, message in (
        (["--cache", f"file:{tmp_path}/cache.url"], {}, "The cache's URL is not valid"),
        (
            [],
            {"TALLYGRAPH_CACHE": "redis://:secret@host:port/0"},
            "The cache's URL is not valid",
        ),
        (
            [],
            {"TALLYGRAPH_RATES": "redis://:secret@host:port/0"},
            "The storage of rates is not",
        ),
    ):
        runner = CliRunner(env={"COLUMNS": "300", **environment})
        result = runner.invoke(app, [*arguments, *options])
        assert (result.exit_code, message in result.output) == (2, True), result.output
        assert "secret" not in result.output
