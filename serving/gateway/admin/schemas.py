"""What the admin API reads and answers, as schemas: times are UTC, money is in millionths."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from serving.gateway.administration.key_records import MAX_MODELS, MAX_NAME
from serving.gateway.administration.keys import MAX_OVERLAP
from serving.gateway.api_keys import ALL, SCOPES
from serving.gateway.http.schemas import whole

MAX_ANCHORS: Final = 10_000
_BIG: Final = 2**63 - 1
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _moment(value: object) -> object:
    """A time of RFC 3339, as the ledger keeps it: UTC, without a zone."""
    if value is None:
        return None
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            moment = datetime.datetime.fromisoformat(value.upper())
            return moment.astimezone(datetime.UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError("time", "A time is expected, such as 2027-01-31T12:00:00Z")


Moment = Annotated[
    datetime.datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Budget = Annotated[int, Field(ge=0, le=_BIG, strict=True), BeforeValidator(whole)]
Rate = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True), BeforeValidator(whole)]
Name = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
]
_Model = Annotated[str, Field(max_length=MAX_NAME, pattern=r"^[!-~]+$")]
Models = Annotated[list[_Model], Field(min_length=1, max_length=MAX_MODELS)]
Scopes = Annotated[
    list[Literal["summaries", "count_tokens", "models", "usage", "*"]], Field(min_length=1)
]
assert {*SCOPES, ALL} == {"summaries", "count_tokens", "models", "usage", "*"}


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsSchema(_Schema):
    """Limits of a tenant; null for none."""

    budget_micro: Budget | None = None
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    max_concurrent: Rate | None = None


class TenantToCreate(_Schema):
    """A new tenant; its plan is one of the price book's."""

    name: Name
    plan: Name = "standard"
    limits: LimitsSchema = LimitsSchema()


class TenantChange(_Schema):
    """What changes of a tenant. What is missing stays; a limit that is null is taken away."""

    plan: Name | None = None
    limits: LimitsSchema = LimitsSchema()


class KeyToCreate(_Schema):
    """A new key. Its budget is within its tenant's; null for none of its own."""

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    models: Models = ["*"]
    scopes: Scopes = ["*"]
    budget_micro: Budget | None = None
    expires_at: Moment | None = None


class KeyToChange(_Schema):
    """What changes of a key. What is missing stays."""

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    models: Models = ["*"]
    scopes: Scopes = ["*"]
    budget_micro: Budget | None = None
    expires_at: Moment | None = None
    suspended: Annotated[bool, Field(strict=True)] = False


class Rotation(_Schema):
    """For how many seconds the secret before is accepted, too."""

    overlap_s: Annotated[
        int,
        Field(ge=0, le=int(MAX_OVERLAP.total_seconds()), strict=True),
        BeforeValidator(whole),
    ] = 86_400


class LedgerCheck(_Schema):
    """What is checked: a tenant's ledger, or all; and anchors, lines as they were written."""

    tenant: Name | None = None
    anchors: Annotated[list[str], Field(max_length=MAX_ANCHORS)] = []


class AnchorToMake(_Schema):
    """An anchor of all chains, delivered with the usage events, too, if it is asked for."""

    deliver: Annotated[bool, Field(strict=True)] = False


class Nothing(_Schema):
    """Nothing is to be said."""


class Key(_Schema):
    """An API key, without its secret."""

    key_id: str
    tenant: str
    name: str
    state: Literal["active", "expired", "suspended", "revoked"]
    models: list[str]
    scopes: list[str]
    budget_micro: int | None
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    suspended_at: datetime.datetime | None
    revoked_at: datetime.datetime | None
    last_used_at: datetime.datetime | None
    previous_until: datetime.datetime | None


class CreatedKey(_Schema):
    """A key with its secret, which is told once."""

    key: str
    record: Key


class Keys(_Schema):
    """A tenant's keys, the oldest first."""

    keys: list[Key]


class Tenant(_Schema):
    """A tenant: money of the month that was asked for."""

    name: str
    plan: str
    limits: LimitsSchema
    created_at: datetime.datetime
    spent_micro: int
    reserved_micro: int
    keys: list[Key]


class Tenants(_Schema):
    """A page of tenants; `next` is `after` of the next page, null on the last."""

    tenants: list[Tenant]
    next: str | None


class PlanPrice(_Schema):
    """A price of a plan; the price book has all of it."""

    id: str
    model: str
    valid_from: datetime.date


class Plan(_Schema):
    """A plan of the price book."""

    name: str
    prices: list[PlanPrice]


class Plans(_Schema):
    """The plans of the price book that is in use."""

    currency: str
    fingerprint: str
    plans: list[Plan]


class Reloaded(_Schema):
    """Whether another price book is in use now, and the fingerprint of the one that is."""

    changed: bool
    fingerprint: str


class UsageSums(_Schema):
    """Charges less what was reversed, of what the row is about; null where it is not told
    apart. A key that is empty was not written down."""

    tenant: str | None
    day: str | None
    key_id: str | None
    model: str | None
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int


class UsagePage(_Schema):
    """A page of usage; `next` is `after` of the next page, null on the last."""

    usage: list[UsageSums]
    next: str | None


class Month(_Schema):
    """A month in which a tenant has entries."""

    month: str
    amount_micro: int
    entries: int


class Invoices(_Schema):
    """Months that a tenant has an invoice, or a draft, for."""

    invoices: list[Month]


class InvoiceSchema(BaseModel):
    """An invoice with all its fields, as `tallygraph bill invoice` writes it as JSON."""

    model_config = ConfigDict(extra="allow")
    tenant: str
    month: str
    number: str | None
    total_micro: int
    payable: str
    lines: list[dict[str, Any]]


class CheckResult(_Schema):
    """What a check of the ledger found; no finding: all is as it must be."""

    checked: int
    unauthenticated: int
    anchor_lines: int
    findings: list[str]


class Anchor(_Schema):
    """The lines of an anchor; keep them where nobody can reach them from the ledger."""

    lines: list[str]


class AuditedChange(_Schema):
    """A row of the audit log: of both states, what differs."""

    id: int
    at: datetime.datetime
    actor: str
    via: str
    action: str
    tenant: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]


class AuditLog(_Schema):
    """A page of the audit log, the newest first; `next` is `before` of the next page, null on
    the last."""

    changes: list[AuditedChange]
    next: int | None
