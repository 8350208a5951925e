"""Archives a month, and is killed when it begins a statement that the test has chosen.

python archive_process.py DATABASE MONTH FOLDER STATEMENT
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
from pathlib import Path

import sqlalchemy as sa

from serving.ledger.archive import archive_month
from serving.ledger.opening import open_ledger


def main(database: str, month: str, folder: Path, last: int) -> None:
    engine = open_ledger(database)
    begun: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def count(*arguments: object) -> None:
        begun.append(str(arguments[2]))
        if len(begun) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    archive_month(engine, month, folder, clock=lambda: datetime.datetime(2027, 3, 1))
    print(len(begun))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
