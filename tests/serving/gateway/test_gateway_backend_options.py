"""Options of `tallygraph gateway` that cannot be meant are told before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from tests.support.running_gateway import PRICES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model-url", "127.0.0.1:8500"], "Received: '127.0.0.1:8500'"),
        (["--model-url", "grpc://127.0.0.1"], "grpc://host:8500"),
        (["--model-look-every-s", "0"], "more than 0 seconds. Received: 0.0"),
        (["--model-look-every-s", "nan"], "more than 0 seconds. Received: nan"),
        (["--canary-percent", "10"], "needs the label"),
        (["--canary-label", "canary", "--canary-percent", "101"], "Received: 101"),
        (["--canary-label", "canary", "--canary-percent", "1"], "all other tenants"),
    ],
)
def test_refused(tmp_path: Path, options: list[str], message: str) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    database = tmp_path / "ledger.sqlite"
    command = ["gateway", "--prices", str(prices), "--database", f"sqlite:///{database}"]
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, [*command, *options])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert not database.exists()
