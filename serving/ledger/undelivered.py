"""Answers that are charged, and whose delivery is not known.

A request without an idempotency key has its answer kept here until its process says that the
client has it. If the client went away, or the process died, the answer is free: it belongs to
the next byte-identical request of the same tenant and route, which is not charged again.
Whoever takes it holds it under its own lease, and it is free again if that delivery fails, too.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.ledger.changes import Request
from serving.ledger.schema import RESERVED
from serving.ledger.sql import Driver, Row, Statements


@dataclass(slots=True)
class KeptAnswer:
    """An answer that may be delivered again.

    Attributes:
      computed: it is there; else its request is still computed, for nobody.
      free: nobody is delivering it.
    """

    request_id: str
    tenant: str
    request_hash: str
    route: str
    computed: bool
    free: bool


class UndeliveredAnswers:
    """Those that a unit of work needs, as read and as changed since."""

    def __init__(
        self, driver: Driver, statements: Statements, owner: str, kept_until: datetime.datetime
    ) -> None:
        """
        Args:
          owner: lease under which answers are delivered.
          kept_until: what is written is kept so long; UTC.
        """
        self._driver = driver
        self._statements = statements
        self._owner = owner
        self._kept_until = kept_until
        self._known: dict[str, KeptAnswer] = {}
        self._abandoned: dict[str, Request] = {}
        self._settled: dict[str, tuple[Request, bytes]] = {}
        self._freed: list[str] = []
        self._taken: list[str] = []
        self._gone: list[str] = []

    def read(self, rows: Sequence[Row]) -> None:
        for request_id, tenant, request_hash, route, computed, free in rows:
            self._known[request_id] = KeptAnswer(
                request_id, tenant, request_hash, route, bool(computed), bool(free)
            )

    def find(self, tenant: str, request_hash: str, route: str) -> KeptAnswer | None:
        """The oldest that is free; one that is there before one that is not."""
        of = (tenant, request_hash, route)
        found = [
            each
            for each in self._known.values()
            if each.free and (each.tenant, each.request_hash, each.route) == of
        ]
        return min(found, key=lambda each: not each.computed, default=None)

    def take(self, kept: KeptAnswer) -> bytes | None:
        """Begin to deliver one that is free; None where it is no longer kept."""
        kept.free = False
        answer = self._answer(kept.request_id)
        if answer is not None:
            self._taken.append(kept.request_id)
        return answer

    def _answer(self, request_id: str) -> bytes | None:
        if request_id in self._settled:
            return self._settled[request_id][1]
        statement = self._statements.undelivered_answer
        rows = self._driver.ask(statement, request_id=request_id)()
        return bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    def settled(self, request: Request, answer: bytes) -> None:
        """A request is charged, and its answer about to be delivered, or wanted by nobody."""
        if request.route is None or request.idempotency_key is not None:
            return
        self._settled[request.request_id] = request, answer
        if (known := self._known.get(request.request_id)) is not None:
            known.computed = True

    def free(self, request: Request) -> bool:
        """The client of a request that is reserved or settled has gone.

        Returns:
          Whether its answer is kept for another one.
        """
        if request.route is None or request.idempotency_key is not None:
            return False
        computed = request.state != RESERVED
        if computed:
            self._freed.append(request.request_id)
        else:
            self._abandoned[request.request_id] = request
        self._known[request.request_id] = KeptAnswer(
            request.request_id,
            request.tenant,
            request.request_hash,
            request.route,
            computed,
            True,
        )
        return True

    def forget(self, request_ids: Sequence[str]) -> None:
        """Requests are delivered, or released."""
        for request_id in request_ids:
            self._known.pop(request_id, None)
        self._gone += request_ids

    def write(self) -> None:
        write, statements = self._driver.write, self._statements
        write(
            statements.add_undelivered,
            [self._row(each, None, None) for each in self._abandoned.values()],
        )
        write(
            statements.set_undelivered,
            [self._row(each, answer, self._owner) for each, answer in self._settled.values()],
        )
        held = [(each, None) for each in self._freed] + [
            (each, self._owner) for each in self._taken
        ]
        write(
            statements.hold_undelivered,
            [
                {"request_id": each, "holder": holder, "kept_until": self._kept_until}
                for each, holder in held
            ],
        )
        if self._gone:
            write(statements.remove_undelivered, [{"request_ids": self._gone}])

    def _row(
        self, request: Request, answer: bytes | None, holder: str | None
    ) -> dict[str, Any]:
        return {
            "request_id": request.request_id,
            "tenant": request.tenant,
            "request_hash": request.request_hash,
            "route": request.route,
            "answer": answer,
            "kept_until": self._kept_until,
            "holder": holder,
        }
