"""Reads the parameters of admin requests, within bounds."""

from __future__ import annotations

import datetime
import json
import re
from typing import Final, get_args

from starlette.requests import Request

from serving.gateway.errors import bad_request
from serving.gateway.http.parse import month as month_of
from serving.ledger.clock import utc_now
from serving.ledger.daily_usage import DIMENSIONS, Dimension, UsageQuery

MAX_PAGE: Final = 1000
DEFAULT_PAGE: Final = 100
MAX_TEXT: Final = 255
BY: Final = ("day", "key_id", "model")
_NAME: Final = re.compile("[!-~]*")
assert get_args(Dimension) == DIMENSIONS


def limit(request: Request) -> int:
    """How many rows a page has at most.

    Raises:
      GatewayError: it is not a number from 1 to `MAX_PAGE`.
    """
    return _number(request, "limit", DEFAULT_PAGE, MAX_PAGE)


def before(request: Request) -> int | None:
    """The id that a page of the audit log ends before; None: the newest.

    Raises:
      GatewayError: it is not a number.
    """
    if "before" not in request.query_params:
        return None
    return _number(request, "before", 1, 2**63 - 1)


def text(request: Request, name: str) -> str:
    """A parameter that is a name; empty where it is missing.

    Raises:
      GatewayError: it is too long, or cannot be a name.
    """
    given = request.query_params.get(name, "")
    if len(given) > MAX_TEXT or not _NAME.fullmatch(given):
        raise bad_request(
            f"{name} must be at most {MAX_TEXT} ASCII characters without spaces.", name
        )
    return given


def month(request: Request) -> str:
    """A month, such as 2026-11: this one, if none is given.

    Raises:
      GatewayError: it is not a month.
    """
    return month_of(request) or f"{utc_now():%Y-%m}"


def usage_query(request: Request) -> UsageQuery:
    """Which usage is asked for, with one row more than the page has.

    Raises:
      GatewayError: a parameter is not valid.
    """
    by = tuple(text(request, "by").split(",")) if "by" in request.query_params else BY
    known = [each for each in DIMENSIONS if each in by]
    if len(known) != len(by):
        raise bad_request(
            f"by must be some of {', '.join(DIMENSIONS)}, each once, with commas between them.",
            "by",
        )
    return UsageQuery(
        since=_day(request, "since"),
        until=_day(request, "until"),
        by=tuple(known),
        tenant=text(request, "tenant"),
        key_id=text(request, "key_id"),
        model=text(request, "model"),
        after=_after(request, len(known)),
        limit=limit(request) + 1,
    )


def _after(request: Request, values: int) -> tuple[str, ...]:
    """`next` of the page before: a JSON list of texts."""
    given = request.query_params.get("after")
    if given is None:
        return ()
    try:
        after = json.loads(given)
    except ValueError:
        after = None
    if (
        not isinstance(after, list)
        or len(after) != values
        or not all(isinstance(each, str) and each.isprintable() for each in after)
    ):
        raise bad_request("after must be `next` of the page before.", "after")
    return tuple(after)


def _day(request: Request, name: str) -> str:
    given = request.query_params.get(name)
    if given is None:
        return ""
    try:
        if datetime.date.fromisoformat(given).isoformat() == given:
            return given
    except ValueError:
        pass
    raise bad_request(
        f"{name} must be a day in the form 2026-11-30. Received: {given[:100]!r}", name
    )


def _number(request: Request, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if given.isascii() and given.isdecimal() and len(given) <= 19 and 1 <= int(given) <= most:
        return int(given)
    raise bad_request(f"{name} must be a number from 1 to {most}.", name)
