from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.checkpoints.fixture_checkpoints import FIXTURES


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a fixture's Hugging Face folder, to be spoilt."""

    def copy(name: str) -> Path:
        ignored = shutil.ignore_patterns("answers.npz", "beams.json")
        return Path(shutil.copytree(FIXTURES / name, tmp_path / name, ignore=ignored))

    return copy
