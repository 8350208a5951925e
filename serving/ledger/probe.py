"""Whether the ledger can be written: a small write, now and then."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from serving.ledger.clock import utc_now
from serving.ledger.database import writing
from serving.ledger.schema import leases

EVERY_S: Final = 1.0
"""However often it is asked, the database is written no more often."""


class WriteProbe:
    """Tells whether the last small write succeeded. Safe for use by many threads."""

    def __init__(
        self,
        engine: sa.Engine,
        every_s: float = EVERY_S,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
          every_s: what is found holds for so long.
          timer: seconds, monotonic.
        """
        self._engine = engine
        self._every_s = every_s
        self._timer = timer
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._error: sa.exc.SQLAlchemyError | None = None

    def check(self) -> None:
        """Write something, unless that was done a moment ago, and take it away again.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written: its disk
            is full, it is read-only, it has too many connections.
        """
        with self._lock:
            if self._timer() >= self._asked_at + self._every_s:
                try:
                    self._write()
                    self._error = None
                except sa.exc.SQLAlchemyError as error:
                    self._error = error
                self._asked_at = self._timer()
            if self._error is not None:
                raise self._error

    def _write(self) -> None:
        """A row that nobody sees, through to the commit: only that writes."""
        name = f"probe-{uuid.uuid4().hex}"
        row = {"lease_id": name, "label": "probe", "renewals": 0, "lease_ms": 0}
        with writing(self._engine) as connection:
            connection.execute(leases.insert().values(**row, started_at=utc_now()))
            connection.execute(leases.delete().where(leases.c.lease_id == name))
