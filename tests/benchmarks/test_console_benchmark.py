"""The benchmark of the console's pages measures each of them, and writes its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.console import __main__ as benchmark


def test_a_small_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "BUILD", tmp_path / "build")
    options = ["--tenants", "3", "--entries", "8", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.console", *options])
    benchmark.main()
    measured = json.loads((tmp_path / "console.json").read_text())
    # 8 charges, on one day; and 29 days more of each tenant.
    assert (measured["tenants"], measured["entries"]) == (3, 8)
    assert measured["sums_by_day"] == 3 + 29 * 3
    assert [each["page"] for each in measured["figures"]] == [
        name for name, _, _ in benchmark.PAGES
    ]
    assert all(each["median_ms"] > 0 for each in measured["figures"])
    assert "| the large tenant | " in (tmp_path / "console.md").read_text()
