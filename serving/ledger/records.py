"""What goes into the ledger and what comes out of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from serving.ledger.parts import ChargePart

MAX_TEXT: Final = 255
MAX_INTEGER: Final = 2**63 - 1
SCHEMA_VERSION: Final = 3
"""Of the entries that are written now; see `serving.ledger.chain`."""

EntryKind = Literal["charge", "reversal", "refund", "top_up"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that a request can cost, before it runs.

    Attributes:
      request_id: unique for ever; the ledger's name for the request.
      tenant: who pays.
      amount_micro: the most it can cost, in millionths.
      budget_micro: what the tenant may spend in the month; None for no limit.
      request_hash: SHA-256 of the request's body, in hex.
      idempotency_key: the caller's name for the request; None where it gave none.
      max_concurrent: requests of the tenant that may be under way at a time, this one
        included, in all processes; None for no limit.
      route: which API the body was sent to. Given, and without an idempotency key: an answer to
        the same body on the same route that was charged and not delivered is given to this
        request; and this one's is kept until it is delivered. None: neither.
      key_id: of the API key that it came with, whose usage it is; None for none.
      key_budget_micro: what that key may spend in the month, within the tenant's budget; None
        for no limit.
    """

    request_id: str
    tenant: str
    amount_micro: int
    request_hash: str
    budget_micro: int | None = None
    idempotency_key: str | None = None
    max_concurrent: int | None = None
    route: str | None = None
    key_id: str | None = None
    key_budget_micro: int | None = None

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request used, as the model counted it.

    Attributes:
      model, model_version, tokenizer_fingerprint, contract_version: what counted.
      input_tokens, cached_tokens, output_tokens: ids. Cached ones are among the input's.
      finish_reasons: of its answers, joined by commas.
      latency_ms: from the request's arrival to its answer.
      work_hash: `serving.ledger.work.work_hash` of what a model server computed for it; empty
        where none did (all was cached), or where it is not known.
    """

    model: str
    model_version: str
    tokenizer_fingerprint: str
    contract_version: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    finish_reasons: str
    latency_ms: int
    work_hash: str = ""

    def __post_init__(self) -> None:
        _check(self)
        if self.cached_tokens > self.input_tokens:
            raise ValueError(
                "cached_tokens are among the input_tokens. Received: "
                f"{self.cached_tokens} of {self.input_tokens}"
            )


@dataclass(frozen=True, slots=True)
class TokensBefore:
    """What a tenant has used of a model in a month before a request, by the entries before it.

    Cached tokens are among the input's, as in `Usage`.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request costs.

    Attributes:
      amount_micro: in millionths of the currency's unit.
      currency: ISO 4217, such as ``EUR``.
      price_id: which price of which book; invoices are made by it.
      parts: what the amount is the sum of, for the invoice; empty for one whole.
    """

    amount_micro: int
    currency: str
    price_id: str
    parts: tuple[ChargePart, ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        if self.parts and sum(part.amount_micro for part in self.parts) != self.amount_micro:
            raise ValueError(
                f"The parts must add up to the {self.amount_micro} millionths. Received: "
                f"{[part.amount_micro for part in self.parts]}"
            )


Pricing = Callable[[Usage, TokensBefore], Charge]
"""What a request costs, given what the month has used before it.

It must be a pure function: the ledger calls it in a transaction that it may have to run again.
"""


@dataclass(frozen=True, slots=True)
class KeyBudget:
    """What an API key with a budget of its own may spend in a month, in millionths.

    Attributes:
      used_micro: spent, or reserved by requests under way.
      reset_s: seconds until the next month begins.
    """

    limit_micro: int
    used_micro: int
    reset_s: int

    @property
    def remaining_micro(self) -> int:
        """Not negative, also where the limit was lowered below what is used."""
        return max(0, self.limit_micro - self.used_micro)

    def after(self, amount_micro: int) -> KeyBudget:
        """When so much more is spent."""
        return replace(self, used_micro=self.used_micro + amount_micro)


@dataclass(frozen=True, slots=True)
class Reserved:
    """The request may run.

    Attributes:
      key_budget: of the key that it came with, without what this request reserves; None: it
        has none of its own.
    """

    request_id: str
    amount_micro: int
    key_budget: KeyBudget | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The request has been answered before: this is its answer.

    Attributes:
      key_budget: as of `Reserved`.
    """

    request_id: str
    answer: bytes
    key_budget: KeyBudget | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The same request has been answered and charged before, and its client does not have the
    answer: it belongs to this one.

    Attributes:
      request_id: of the request that was charged. Tell the ledger of it whether this delivery
        succeeded.
      key_budget: as of `Reserved`.
    """

    request_id: str
    answer: bytes
    key_budget: KeyBudget | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a tenant's ledger, which never changes.

    Attributes:
      tenant: who pays.
      number: position in the tenant's chain; numbers run from 1 without a gap.
      kind: a charge; the reversal of one, whose counts and amounts are its negatives; a refund
        of a part of one, negative, too; or a top-up of what is paid in advance.
      request_id: of the request that was charged; of a top-up, its own.
      request_hash: SHA-256 of the request's body, in hex.
      model: name of the model that counted.
      model_version: version of it, as it was pushed.
      tokenizer_fingerprint: of the tokenizer in whose ids was counted.
      contract_version: of the counting contract.
      input_tokens: ids that were read, cached ones among them.
      cached_tokens: of the input, ids that a cache answered for.
      output_tokens: ids that were written.
      finish_reasons: of the request's summaries, joined by commas.
      latency_ms: from the request's arrival to its answer.
      amount_micro: what the tenant owes by it, in millionths of the currency's unit; negative
        where it is given back or has been paid.
      currency: ISO 4217, such as ``EUR``.
      price_id: which price of the price book.
      reason: of all but a charge, in the words of whoever made it.
      created_at: UTC.
      previous_hash: hash of the tenant's entry before this one.
      hash: SHA-256 of the other fields, in hex; see `serving.ledger.chain`.
      schema_version: which fields there are. An entry of version 1 has none of the following.
      month: in whose account, budget and tiers it is: that of its reservation, such as 2026-11.
      input_tokens_before, cached_tokens_before, output_tokens_before: what the tenant's entries
        before it add up to, of its model and month.
      parts: what the amount is the sum of, as `serving.ledger.parts` writes it.
      work_hash: hash of the texts and limits that a model server computed; empty where it
        computed nothing. By it `tallygraph bill reconcile` finds the request in a server's log.
      made_by: of all but a charge, the person or program that made it; not in entries of
        version 2.
      code: authenticates the hash, if there was a key; see `serving.ledger.authentication`. It
        is not in the hash.
    """

    tenant: str
    number: int
    kind: EntryKind
    request_id: str
    request_hash: str
    model: str
    model_version: str
    tokenizer_fingerprint: str
    contract_version: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    finish_reasons: str
    latency_ms: int
    amount_micro: int
    currency: str
    price_id: str
    reason: str
    created_at: datetime.datetime
    previous_hash: str
    hash: str
    schema_version: int = SCHEMA_VERSION
    month: str = ""
    input_tokens_before: int = 0
    cached_tokens_before: int = 0
    output_tokens_before: int = 0
    parts: str = "[]"
    work_hash: str = ""
    made_by: str = ""
    code: str = ""


ENTRY_FIELDS: Final = tuple(each.name for each in fields(Entry))


_CHECKED: Final[Mapping[type[Any], tuple[str, ...]]] = {
    kind: tuple(each.name for each in fields(kind))
    for kind in (Reservation, Usage, TokensBefore, Charge)
}


def _check(record: Reservation | Usage | TokensBefore | Charge) -> None:
    """
    Raises:
      ValueError: a text is empty or too long, a number negative or too large.
    """
    for name in _CHECKED[type(record)]:
        value = getattr(record, name)
        if name == "work_hash" and value == "":
            continue
        if isinstance(value, str) and not 0 < len(value) <= MAX_TEXT:
            raise ValueError(
                f"{name} must have 1 to {MAX_TEXT} characters. Received: {len(value)}"
            )
        if isinstance(value, int) and not 0 <= value <= MAX_INTEGER:
            raise ValueError(f"{name} must be from 0 to {MAX_INTEGER}. Received: {value}")
