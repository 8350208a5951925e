"""The files that one worker runs are there, and each is named once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.worker_schedule import TOGETHER

ROOT = Path(__file__).parents[2]


def test_each_file_exists_and_belongs_to_one_unit() -> None:
    named = Counter(file for group in TOGETHER for file in group)
    assert [file for file in named if not (ROOT / file).is_file()] == []
    assert [file for file, times in named.items() if times > 1] == []
