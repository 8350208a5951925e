"""Archiving is stopped, at any statement, and loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.ledger.database import open_database
from serving.ledger.verification import verify
from tests.serving.ledger.archived_months import archive, invoices, whole
from tests.serving.ledger.standing_clock import Clock
from tests.support.sizes import sized

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_wherever_it_fails_nothing_is_lost_and_the_next_call_goes_on(
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every statement, one after the other, with a few entries in each transaction."""
    monkeypatch.setattr("serving.ledger.archive_removal._AT_A_TIME", 2)
    (count, _), original = verify(engine), tmp_path / "original.sqlite"
    engine.dispose()
    shutil.copy(str(engine.url.database), original)
    last, stopped = 1, True
    while stopped:
        copy = tmp_path / f"{last}"
        copy.mkdir()
        shutil.copy(original, copy / "ledger.sqlite")
        stopped = _stopped_at(last, copy, clock)
        now = open_database(f"sqlite:///{copy}/ledger.sqlite")
        assert verify(now)[1] == []
        archive(now, "2026-11", copy, clock)
        assert whole(now, copy) == (count, [])
        assert [each.name for each in copy.glob("*.gz")] == ["ledger-2026-11.jsonl.gz"]
        now.dispose()
        shutil.rmtree(copy)
        last += 1
    assert last > 20


class Stopped(BaseException):
    pass


def _stopped_at(last: int, folder: Path, clock: Clock) -> bool:
    engine = open_database(f"sqlite:///{folder}/ledger.sqlite")
    begun: list[int] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def count(*_: object) -> None:
        begun.append(1)
        if len(begun) == last:
            raise Stopped

    try:
        archive(engine, "2026-11", folder, clock)
    except Stopped:
        return True
    finally:
        engine.dispose()
    return False


@pytest.mark.sized
def test_a_process_that_is_killed(
    ledger_url: str,
    engine: sa.Engine,
    clock: Clock,
    months: dict[tuple[str, str], object],
    tmp_path: Path,
) -> None:
    points = range(9, 40, sized(quick=13, long=2))
    count, _ = verify(engine)
    program = Path(__file__).with_name("archive_process.py")

    def run(last: int) -> int:
        ran = subprocess.run(
            [sys.executable, program, ledger_url, "2026-11", tmp_path, str(last)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
        return ran.returncode

    killed = 0
    for point in points:
        killed += run(point) == -9
        assert verify(engine)[1] == []
    assert killed
    assert run(0) == 0
    assert not list(tmp_path.glob(".*.part"))
    assert whole(engine, tmp_path) == (count, [])
    assert invoices(engine, tmp_path) == months
