"""The benchmark of the console's pages measures each of them, and writes its page."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.console import __main__ as benchmark


@pytest.mark.long
def test_a_small_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # PostgreSQL's server may be another user's process, which cannot read pytest's folder.
    with tempfile.TemporaryDirectory(prefix="tallygraph-console-") as folder:
        monkeypatch.setattr(benchmark, "BUILD", Path(folder) / "build")
        options = ["--tenants", "3", "--entries", "8", "--output", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["benchmarks.console", *options])
        benchmark.main()
    measured = json.loads((tmp_path / "console.json").read_text())
    # 8 charges, on one day; and 29 days more of each tenant.
    assert (measured["tenants"], measured["entries"]) == (3, 8)
    assert measured["sums_by_day"] == 3 + 29 * 3
    assert [(each["database"], each["page"]) for each in measured["figures"]] == [
        (database, name)
        for database in ("sqlite", "postgresql")
        for name, _, _ in benchmark.PAGES
    ]
    for each in measured["figures"]:
        assert 0 < each["first_ms"] <= each["complete_ms"]
        assert 0 < each["median_ms"] <= each["longest_ms"]
    page = (tmp_path / "console.md").read_text()
    assert "| SQLite | the large tenant | " in page and "| PostgreSQL | audit log | " in page
