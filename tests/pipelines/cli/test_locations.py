"""`--config` and `--output` mean the same in every command."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from pipelines.cli.locations import Served, find_served

SETTINGS = """
[serving]
model_name = "news"

[registry]
uri = "sqlite:////elsewhere/registry.sqlite"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "news.toml"
    path.write_text(SETTINGS)
    return path


def test_what_a_run_has_pushed_is_found_by_its_output(tmp_path: Path) -> None:
    folder = tmp_path / "serving" / "summarizer"
    assert find_served(None, tmp_path) == Served("summarizer", folder, "")


def test_settings_name_model_and_registry(config: Path, tmp_path: Path) -> None:
    registry = "sqlite:////elsewhere/registry.sqlite"
    expected = Served("news", tmp_path / "serving" / "news", registry)
    assert find_served(config, tmp_path) == expected
    assert find_served(config, tmp_path, None, "other", "sqlite:///own").name == "other"
    assert find_served(config, tmp_path, None, "", "sqlite:///own").registry == "sqlite:///own"


def test_a_folder_of_versions_names_its_model(tmp_path: Path) -> None:
    assert find_served(None, Path("build"), tmp_path / "m").name == "m"
    assert find_served(None, Path("build"), tmp_path / "m", "n") == Served(
        "n", tmp_path / "m", ""
    )


def test_settings_that_cannot_be_read_end_the_command(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit) as ended:
        find_served(tmp_path / "none.toml", tmp_path)
    assert ended.value.exit_code == 2
