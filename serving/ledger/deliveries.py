"""What becomes of an answer after its charge: it is delivered, or it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from serving.ledger.schema import RELEASED
from serving.ledger.unit_of_work import UnitOfWork
from serving.ledger.wanted import Wanted


@dataclass(frozen=True, slots=True)
class MarkDelivered:
    """See `serving.ledger.Ledger.delivered`. It reads nothing, and need not be on the disk: an
    answer that is marked too late is one that is given away twice, and charged once."""

    on_disk: ClassVar[bool] = False
    request_ids: tuple[str, ...]

    def want(self, wanted: Wanted) -> None:
        """Nothing is looked up."""

    def do(self, work: UnitOfWork) -> None:
        work.undelivered.forget(self.request_ids)


@dataclass(frozen=True, slots=True)
class MarkUndelivered:
    """See `serving.ledger.Ledger.undelivered`."""

    on_disk: ClassVar[bool] = True
    request_id: str

    def want(self, wanted: Wanted) -> None:
        wanted.request_ids.add(self.request_id)

    def do(self, work: UnitOfWork) -> bool:
        request = work.request(self.request_id)
        return request.state != RELEASED and work.undelivered.free(request)
