"""What `tallygraph samples` says where it cannot show any (tests/e2e shows that it can)."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from serving.engines import RunningServer

ROOT = Path(__file__).parents[3]
PRICES = ROOT / "examples/prices.toml"


def samples(*options: object) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": "300", "TALLYGRAPH_REGISTRY": ""})
    result = runner.invoke(app, ["samples", *map(str, options)])
    return result.exit_code, result.output


def test_an_output_folder_without_a_registry_is_named(
    model_server: RunningServer, tmp_path: Path
) -> None:
    code, printed = samples("--url", model_server.rest_url, "--output", tmp_path)
    assert code == 2
    assert f"{tmp_path}/registry.sqlite does not exist" in printed
    assert "use --output or --registry for another location" in printed


def test_a_server_that_is_not_there_is_an_error_in_plain_words(tmp_path: Path) -> None:
    code, printed = samples("--url", "http://127.0.0.1:9", "--output", tmp_path)
    assert code == 1
    assert "error:" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--prices", "no.toml"], "Cannot read the price book no.toml"),
        (["--prices", PRICES, "--plan", "gold"], "on the plan 'gold'"),
        (["--prices", PRICES, "--model-name", "other"], "no price for the model 'other'"),
        (["--count", "0"], "--count"),
    ],
)
def test_what_cannot_be_used_is_said_before_a_server_is_asked(
    options: list[object], expected: str
) -> None:
    code, printed = samples("--url", "http://127.0.0.1:9", *options)
    assert code == 2
    assert expected in printed
