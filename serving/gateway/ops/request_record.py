"""What is known of the request under way, for its log line, its metrics and its trace.

Never a text, a summary or a key: only names that the operator has given, and numbers. What a
client sends is in it in two places, its id of the request and of its trace, both checked.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Final

from starlette.datastructures import Headers

from serving.gateway.api_keys import contains_key
from serving.ledger import Usage

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
# https://www.w3.org/TR/trace-context/: later versions may add more parts at the end.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
OTHER: Final = "other"


@dataclass(slots=True)
class RequestRecord:
    """A request, known better and better while it is under way.

    Attributes:
      request_id: the client's own ``X-Request-Id`` if it is well formed, else one made here.
      method: of HTTP.
      trace_id, parent_id, trace_flags: of the client's trace, in hex; empty without one.
      route: the path as the gateway knows it, not as the client wrote it.
      status: of the response; None where none was sent.
      error: its code; empty where all went well.
      limit: the limit that was hit; empty for none.
      tenant: whose key it was.
      admitted: the tenant's requests under way are counted with this one.
      model: the model that was asked for.
      model_version: the version that answered.
      charge_id: the ledger's name for the request.
      replayed: it had been answered before, and was not charged again.
      input_tokens, cached_tokens, output_tokens: as charged; cached ones are among the input's.
      finish_reasons: of its summaries, joined by commas.
      amount_micro: what it cost, in millionths of the currency's unit.
      currency: ISO 4217, such as ``EUR``.
    """

    NOT_LOGGED: ClassVar = ("trace_flags", "admitted")

    request_id: str
    method: str
    trace_id: str = ""
    parent_id: str = ""
    trace_flags: str = ""
    route: str = OTHER
    status: int | None = None
    error: str = ""
    limit: str = ""
    tenant: str = ""
    admitted: bool = False
    model: str = ""
    model_version: str = ""
    charge_id: str = ""
    replayed: bool = False
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    finish_reasons: str = ""
    amount_micro: int = 0
    currency: str = ""

    @classmethod
    def begin(cls, method: str, headers: Headers) -> RequestRecord:
        """The record of a request that has arrived."""
        own = headers.get("x-request-id", "")
        sane = _REQUEST_ID.fullmatch(own) and not contains_key(own)
        record = cls(
            request_id=own if sane else uuid.uuid4().hex,
            method=method if method in _METHODS else OTHER,
        )
        if trace := _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip()):
            version_00_ends_here = trace[0].startswith("00") and trace[4]
            if not version_00_ends_here:
                record.trace_id, record.parent_id, record.trace_flags = trace.group(1, 2, 3)
        return record

    def charged(self, request_id: str, usage: Usage, amount_micro: int, currency: str) -> None:
        """It was answered, and charged for."""
        self.charge_id = request_id
        self.model_version = usage.model_version
        self.input_tokens = usage.input_tokens
        self.cached_tokens = usage.cached_tokens
        self.output_tokens = usage.output_tokens
        self.finish_reasons = usage.finish_reasons
        self.amount_micro = amount_micro
        self.currency = currency

    def replay_of(self, request_id: str) -> None:
        """It had been answered, and charged for, before."""
        self.charge_id = request_id
        self.replayed = True

    def refused(self, error: str, limit: str = "") -> None:
        """
        Args:
          error: the code that the client is told.
        """
        self.error = error
        self.limit = limit

    def fields(self) -> dict[str, Any]:
        """What its log line says: all that is known."""
        values = zip(_LOGGED, _logged_values(self), strict=True)
        return {name: value for name, value in values if value or name in _ALWAYS_LOGGED}


_LOGGED: Final = tuple(
    name for name in RequestRecord.__slots__ if name not in RequestRecord.NOT_LOGGED
)
_logged_values: Final = attrgetter(*_LOGGED)
_ALWAYS_LOGGED: Final = frozenset({"request_id", "method", "route", "status"})
_CURRENT: ContextVar[RequestRecord] = ContextVar("request_record")


def set_current(record: RequestRecord) -> None:
    """Make a record that of the request that this task, and those it starts, work for."""
    _CURRENT.set(record)


def current() -> RequestRecord:
    """The record of the request under way; where there is none, one that nobody reads."""
    record = _CURRENT.get(None)
    return record if record is not None else RequestRecord("none", OTHER)
