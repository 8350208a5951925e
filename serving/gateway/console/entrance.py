"""Signing in and out, and what every page needs besides itself."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.responses import Response

from serving.gateway.administration.ended_sessions import end_session
from serving.gateway.administration.key_holders import key_holder
from serving.gateway.api_keys import parts_of
from serving.gateway.console.sessions import PATH, token_fingerprint
from serving.gateway.console.site import Visit, go_to
from serving.gateway.errors import GatewayError

_MAX_SECRET = 1024


async def show_sign_in(visit: Visit) -> Response:
    """The page to sign in."""
    if visit.is_signed_in:
        return go_to(PATH)
    return visit.page("sign_in.html", off=visit.console.admin.tokens is None, refused="")


async def sign_in(visit: Visit) -> Response:
    """A session for whoever has a token or a key."""
    assert visit.form is not None
    secret, console = visit.form.text("secret", _MAX_SECRET), visit.console
    tokens = console.admin.tokens
    if parts_of(secret) is not None:
        holder = await visit.do(key_holder, visit.engine, secret, console.clock())
        if holder is not None:
            visit.signs_in(session=console.sessions.begin(holder=holder))
            return go_to(f"{PATH}/account")
    elif tokens is not None and tokens.holder(secret) is not None:
        visit.signs_in(token_fingerprint(secret))
        return go_to(PATH)
    return visit.page(
        "sign_in.html",
        403,
        off=tokens is None,
        refused="This is no admin token of this gateway, and no API key that may read its "
        "tenant's usage now. Check it and try again.",
    )


async def sign_out(visit: Visit) -> Response:
    """The end of a session, wherever its cookie is and at all gateways of this ledger.

    Raises:
      GatewayError: 503, the database is out: the session has not ended.
    """
    if visit.is_signed_in:
        session = visit.session
        await visit.do(
            end_session, visit.engine, session.nonce, session.over_at, visit.console.clock()
        )
    visit.signs_in()
    return go_to(f"{PATH}/sign-in")


async def no_page(visit: Visit) -> Response:
    """What is said of a path that has none."""
    raise GatewayError(
        404, f"There is no page {visit.request.url.path[:200]}.", code="no_such_path"
    )


async def style(visit: Visit) -> Response:
    """How pages look."""
    return _file("console.css", "text/css; charset=utf-8")


async def icon(visit: Visit) -> Response:
    """What the browser shows beside a page's title."""
    return _file("icon.svg", "image/svg+xml")


def _file(name: str, media_type: str) -> Response:
    return Response(
        _read(name), media_type=media_type, headers={"Cache-Control": "private, max-age=300"}
    )


@cache
def _read(name: str) -> bytes:
    return (files(__package__) / "templates" / name).read_bytes()
