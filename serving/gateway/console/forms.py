"""Forms as browsers send them, within bounds, and what their fields may hold."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from serving.gateway.errors import GatewayError, bad_request

MAX_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 100
MAX_TEXT: Final = 255
TIMEOUT_S: Final = 30.0
_TYPE: Final = "application/x-www-form-urlencoded"
_MONEY: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_MICRO: Final = 1_000_000


class Form:
    """Fields by their names; each may come several times."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self.fields = fields

    def text(self, name: str, most: int = MAX_TEXT) -> str:
        """A field, without spaces around it; empty where it is missing.

        Raises:
          GatewayError: 400, it is too long, or has characters that cannot be printed.
        """
        given = (self.fields.get(name) or [""])[0].strip()
        if len(given) > most or not given.isprintable():
            raise bad_request(
                f"{_said(name)} must be at most {most} characters that can be printed. "
                f"Received: {len(given)} characters.",
                name,
            )
        return given

    def words(self, name: str) -> tuple[str, ...]:
        """All values of a field, taken apart at commas and spaces."""
        values = self.fields.get(name, [])
        return tuple(word for value in values for word in re.split(r"[\s,]+", value) if word)

    def required(self, name: str) -> str:
        """
        Raises:
          GatewayError: 400, it is missing; or as `text`.
        """
        given = self.text(name)
        if not given:
            raise bad_request(f"{_said(name)} is missing. Fill it in.", name)
        return given

    def number(self, name: str) -> int | None:
        """A whole number; None where it is empty.

        Raises:
          GatewayError: 400, it is none.
        """
        given = self.text(name)
        if not given:
            return None
        if not (given.isascii() and given.isdecimal() and len(given) <= 18):
            raise bad_request(
                f"{_said(name)} must be a whole number. Received: {given!r}", name
            )
        return int(given)

    def money(self, name: str) -> int | None:
        """An amount such as ``12.50``, in millionths; None where it is empty.

        Raises:
          GatewayError: 400, it is none.
        """
        given = self.text(name)
        if not given:
            return None
        if not _MONEY.fullmatch(given):
            raise bad_request(
                f"{_said(name)} must be an amount such as 12.50, with a point and at most 6 "
                f"decimals. Received: {given!r}",
                name,
            )
        return int(Decimal(given) * _MICRO)

    def end_of_day(self, name: str) -> datetime.datetime | None:
        """The end of a day such as ``2027-01-31``, UTC; None where it is empty.

        Raises:
          GatewayError: 400, it is none.
        """
        given = self.text(name)
        if not given:
            return None
        try:
            day = datetime.date.fromisoformat(given)
            return datetime.datetime.combine(
                day + datetime.timedelta(days=1), datetime.time.min
            )
        except (ValueError, OverflowError):
            raise bad_request(
                f"{_said(name)} must be a day such as 2027-01-31. Received: {given!r}", name
            ) from None


async def read_form(request: Request) -> Form:
    """Read a form.

    Raises:
      GatewayError: it is too large or too slow, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _TYPE:
        raise GatewayError(
            415, f"A form is expected, as {_TYPE}.", code="unsupported_media_type"
        )
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise GatewayError(
                        413, f"The form is larger than {MAX_BYTES} bytes.", code="too_large"
                    )
    except TimeoutError:
        raise GatewayError(
            408, f"The form did not arrive within {TIMEOUT_S:g} s.", code="body_too_slow"
        ) from None
    except ClientDisconnect:
        raise GatewayError(400, "The form is incomplete.", code="hung_up") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise bad_request("The form is not valid. Send it from its page again.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Form(fields)


def _said(name: str) -> str:
    return name.replace("_", " ").capitalize()
