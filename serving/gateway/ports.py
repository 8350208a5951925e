"""What `service.py` works with: its requests and results, and the ports that it calls.

A port is a protocol, so that metrics, spans and the handling of outages wrap it (see
`running.open_service`) and the service's sequence stays free of them.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from serving.billing import Price
from serving.gateway.tenants import Caller
from serving.ledger import (
    Entry,
    Pricing,
    Replay,
    Reservation,
    Reserved,
    Undelivered,
    Usage,
)
from serving.ledger.records import KeyBudget
from tokenizer.contract import MeteredSummary, MeteringRecord


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version of a model, and how it counts."""

    model: str
    number: int
    metering: MeteringRecord

    @property
    def full_name(self) -> str:
        """Model and version, such as ``summarizer-7``."""
        return f"{self.model}-{self.number}"


@dataclass(frozen=True, slots=True)
class Quota:
    """What a caller may still do; a limit of None is none.

    Attributes:
      requests_…, tokens_…: of the tenant's current minute; reset: seconds until there is more
        room.
      key_budget: of the month, where the key has a budget of its own.
    """

    requests_limit: int | None = None
    requests_remaining: int = 0
    requests_reset_s: int = 0
    tokens_limit: int | None = None
    tokens_remaining: int = 0
    tokens_reset_s: int = 0
    key_budget: KeyBudget | None = None


NO_QUOTA: Final = Quota()

Truncation = Literal["auto", "disabled"]
"""What is done with a text that is too long: cut it and say so, or refuse it."""


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """What a caller asks a model for, in no API's shape.

    Attributes:
      texts: to be summarised, at least one.
      max_output_tokens: for each at most; 0 for the model's own limit.
      identity: the request as it came: the same idempotency key must bring the same again.
      route: that it came by.
      request_id: the ledger's name for it.
      idempotency_key: the caller's; None for none.
      truncation: of texts that are too long; None for the service's default.
    """

    texts: Sequence[str]
    max_output_tokens: int
    identity: bytes
    route: str
    idempotency_key: str | None = None
    truncation: Truncation | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """A model's answer to a request, before it is put into an API's shape.

    Attributes:
      summaries: of each text.
      cached_tokens: of each text, those of its input tokens that the cache answered for: all
        or none.
    """

    request_id: str
    version: ServedVersion
    summaries: list[MeteredSummary]
    cached_tokens: list[int]


@dataclass(frozen=True, slots=True)
class SummaryResponse:
    """What a request gets.

    Attributes:
      body: rendered; byte for byte the same when it is replayed.
      quota: what the tenant had left when the request was admitted, and what is left of the
        key's budget.
      request_id: of the charge.
      replayed: the request had been answered, and charged for, before, by its key.
      redelivered: an identical request had been, whose client never got the answer.
    """

    body: bytes
    quota: Quota
    request_id: str
    replayed: bool = False
    redelivered: bool = False


Render = Callable[[SummaryResult], bytes]
"""Makes the body of a response, which the ledger keeps with the charge."""


class VersionGoneError(Exception):
    """No server has the version any more. Nothing was computed."""


class RatesPort(Protocol):
    """Requests and tokens a minute."""

    async def admit(self, caller: Caller) -> Quota:
        """Count a request.

        Returns:
          What the tenant has left.

        Raises:
          GatewayError: 429, a limit is used up; 503, it cannot be counted now.
        """

    async def admit_read(self, caller: Caller) -> None:
        """Count a request that is not charged.

        Raises:
          GatewayError: as `admit`.
        """

    async def used(self, caller: Caller, tokens: int) -> None:
        """Count tokens that an answer used."""


class PricesPort(Protocol):
    """The price book."""

    @property
    def currency(self) -> str:
        """Of all prices, as in ISO 4217."""

    def price(self, model: str, plan: str, day: datetime.date) -> Price:
        """
        Raises:
          PriceBookError: there is none.
        """

    def pricing(self, price: Price) -> Pricing:
        """What a price makes of a usage and its position in the month."""


class LedgerPort(Protocol):
    """The life of a request in the ledger."""

    async def reserve(self, reservation: Reservation) -> Reserved | Replay | Undelivered:
        """See `serving.ledger.Ledger.reserve`. An answer that belongs to this request and is
        still computed is waited for.

        Raises:
          GatewayError: what the client gets instead.
        """

    async def settle(
        self, request_id: str, usage: Usage, pricing: Pricing, response: bytes
    ) -> Entry:
        """See `serving.ledger.Ledger.settle`."""

    def delivered(self, request_id: str) -> None:
        """The client has the answer."""

    async def undelivered(self, request_id: str) -> None:
        """The client has gone: its answer, which may still be computed, is for the next
        identical request."""

    async def release(self, request_id: str) -> None:
        """Release what is reserved for a request, now or as soon as it can be done."""


class ModelWaitPort(Protocol):
    """The queue of requests that have found no server up.

    Attributes:
      wait_s: how long a request waits at most; 0: not at all.
    """

    wait_s: float

    def must_wait(self) -> bool:
        """Whether a request that comes now has to wait."""

    async def turn(self, request_id: str, tenant: str, size_bytes: int, until: float) -> None:
        """Return when a server is up, and the request's turn has come.

        Args:
          until: how long it may wait, as ``time.monotonic()``.

        Raises:
          GatewayError: no server was up in time, too many wait, or the client went away.
        """

    def abandon(self, request_id: str) -> bool:
        """The client went away: whether the request was waiting, which it no longer does."""


class ModelPort(Protocol):
    """A model on its servers."""

    name: str

    @property
    def wait(self) -> ModelWaitPort:
        """Of requests that find no server up."""

    def deadline(self) -> float:
        """Until when a request that begins now is waited for, as ``time.monotonic()``."""

    async def version(self, tenant: str | None = None, fresh: bool = False) -> ServedVersion:
        """The version that serves a tenant now.

        Raises:
          NoServerUpError: no server has one.
        """

    async def summarize(
        self, version: ServedVersion, texts: Sequence[str], limit: int, deadline: float
    ) -> list[MeteredSummary]:
        """Summarise texts in one request.

        Raises:
          VersionGoneError: no server has the version any more; nothing was computed.
          NoServerUpError: none could be reached; nothing was computed.
          GatewayError: no server answers, or the answer is not a metered model's.
        """

    async def count(self, tenant: str, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Input and truncated tokens of texts, by the version that serves the tenant."""


class CachePort(Protocol):
    """Answers that the model has given before."""

    def keys(
        self, tenant: str, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[bytes]:
        """What answers are found by: equal for equal requests only."""

    async def find(
        self, tenant: str, version: ServedVersion, texts: Sequence[str], limit: int
    ) -> list[MeteredSummary | None]:
        """The answer for each text; None where there is none."""

    async def keep(
        self,
        tenant: str,
        version: ServedVersion,
        answers: Sequence[tuple[str, MeteredSummary]],
        limit: int,
    ) -> None:
        """Cache answers to texts."""
