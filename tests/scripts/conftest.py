"""What the tests of the scripts are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.checkout import Checkout, commands_without_python


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder for PATH: the system's commands but for Python's."""
    return commands_without_python(tmp_path / "commands")
