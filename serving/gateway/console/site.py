"""What all pages share: who asks, what a page is made of, and what is around every response."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import anyio
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serving.billing.currencies import decimals_of
from serving.gateway.admin.access import Access, Admin
from serving.gateway.administration import Administrator
from serving.gateway.administration.ended_sessions import has_ended
from serving.gateway.administration.key_holders import still_holds
from serving.gateway.backends import Canary
from serving.gateway.console.figures import money_in
from serving.gateway.console.forms import Form, read_form
from serving.gateway.console.sessions import COOKIE, PATH, Session, Sessions
from serving.gateway.errors import GatewayError
from serving.gateway.ops.metrics import Metrics
from serving.gateway.ops.observed import VersionTally
from serving.gateway.ops.request_record import current
from serving.ledger.clock import Clock, utc_now

Who = Literal["public", "anyone", "admin", "tenant"]
"""Public is what is the same for all: no session is looked at, and no database asked."""

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
DOCUMENT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
)
"""Of an invoice as a page, whose style is within it: it can run and send nothing."""
REFRESH_S: Final = 2
"""After so many seconds a page that waits for figures is asked for again."""
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TEMPLATES: Final = Environment(
    loader=PackageLoader("serving.gateway.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["time"] = lambda at: f"{at:%Y-%m-%d %H:%M:%S}" if at else "never"
TEMPLATES.filters["count"] = lambda value: f"{value:,}"


@dataclass
class Console:
    """What the console works with.

    Attributes:
      model_servers: each server as it was last heard of, and how many requests wait.
      tally: of what versions answer at this gateway.
      label, canary: of the versions that serve; None for the newest, and for no canary.
      clock: UTC.
    """

    admin: Admin
    metrics: Metrics
    model_servers: Callable[[], Awaitable[Mapping[str, Any]]]
    tally: VersionTally
    label: str | None = None
    canary: Canary | None = None
    clock: Clock = utc_now
    sessions: Sessions = field(init=False)
    access: Access = field(init=False)
    background: Access = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.admin.tokens, self.clock)
        self.access = Access(self.admin)
        # What takes long keeps no page waiting for a thread.
        self.background = Access(replace(self.admin, at_a_time=anyio.CapacityLimiter(1)))

    def month(self) -> str:
        """This one, such as 2026-11."""
        return f"{self.clock():%Y-%m}"

    def money(self) -> Callable[[int], str]:
        """How amounts are shown."""
        return money_in(decimals_of(self.admin.prices.book.currency))


@dataclass
class Visit:
    """A request to the console.

    Attributes:
      session: of whoever sends it; of nobody before the sign-in.
      form: what was sent; None where nothing was.
      begins: whether the session's cookie must be sent.
    """

    console: Console
    request: Request
    session: Session
    begins: bool
    form: Form | None = None

    @property
    def engine(self) -> Any:
        """The ledger's database."""
        return self.console.admin.engine

    @property
    def administrator_name(self) -> str | None:
        """None where no administrator asks."""
        return self.console.sessions.administrator(self.session)

    @property
    def tenant(self) -> str | None:
        """Whose key was used to sign in; None where none was."""
        return self.session.holder.tenant if self.session.holder else None

    @property
    def is_signed_in(self) -> bool:
        """Whether the session is an administrator's or a tenant's."""
        return bool(self.administrator_name or self.tenant)

    def administrator(self, once: str) -> Administrator:
        """Whoever makes a change by the console.

        Args:
          once: of the form that is confirmed; its change is made once.
        """
        admin = self.console.admin
        return Administrator(
            admin.engine,
            self.administrator_name or "",
            "console",
            lambda: admin.prices.book.plans,
            admin.forget,
            self.console.clock,
            once,
        )

    async def do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of `serving.gateway.administration`; see `Access.do`."""
        return await self.console.access.do(work, *args, **kwargs)

    def signs_in(self, admin: str = "", session: Session | None = None) -> None:
        """From now on it is another session's."""
        self.session = session or self.console.sessions.begin(admin)
        self.begins = True

    def page(
        self, template: str, status: int = 200, waits: bool = False, **context: Any
    ) -> Response:
        """A page, in which no text is taken for markup.

        Args:
          waits: whether it is asked for again in a moment, for figures that it has not yet.
        """
        book = self.console.admin.prices.book
        values = {
            "path": self.request.url.path,
            "administrator": self.administrator_name,
            "tenant_of_key": self.tenant,
            "form_token": self.console.sessions.form_token(self.session),
            "currency": book.currency,
            "money": self.console.money(),
            "now": self.console.clock(),
            "once": new_once,
            **context,
        }
        headers = {"Refresh": str(REFRESH_S)} if waits else None
        return HTMLResponse(TEMPLATES.get_template(template).render(values), status, headers)


def new_once() -> str:
    """What a form carries that no other one does: what it asks for is done once."""
    return secrets.token_hex(16)


def compile_templates() -> None:
    """When a gateway starts, and not for its first visitor."""
    for name in TEMPLATES.list_templates(["html"]):
        TEMPLATES.get_template(name)


Page = Callable[[Visit], Awaitable[Response]]


def go_to(path: str) -> Response:
    """To another page of the console, by its path: no host is named."""
    return RedirectResponse(path, 303)


async def answer(console: Console, request: Request, who: Who, page: Page) -> Response:
    """The response to a request: the page, if this visitor may see it."""
    visit = await _visit(console, request)
    try:
        response = await _admitted(visit, who, page)
    except GatewayError as error:
        current().refused(error.code or error.type, error.limit)
        response = visit.page("error.html", error.status, message=error.message)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if visit.begins:
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE,
            console.sessions.cookie(visit.session),
            path=PATH,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
    return response


async def _visit(console: Console, request: Request) -> Visit:
    session = console.sessions.read(request.cookies.get(COOKIE))
    if session is None:
        return Visit(console, request, console.sessions.begin(), begins=True)
    used = console.sessions.renewed(session)
    return Visit(console, request, used, begins=used is not session)


async def _admitted(visit: Visit, who: Who, page: Page) -> Response:
    """
    Raises:
      GatewayError: 403, the form is not of this session's pages; what the page refuses.
    """
    if who == "public":
        return await page(visit)
    await _end_if_over(visit)
    is_who = {"anyone": True, "admin": visit.administrator_name, "tenant": visit.tenant}[who]
    if visit.request.method == "POST":
        form = await read_form(visit.request)
        if not visit.console.sessions.is_form_token(visit.session, form.text("form_token")):
            raise GatewayError(
                403,
                "The form is not of your session: it may have expired, or the browser keeps no "
                "cookies. Nothing was done. Sign in, open the page and send the form again.",
                code="form_of_no_session",
            )
        visit.form = form
    elif not is_who and visit.is_signed_in:
        raise GatewayError(
            404,
            f"There is no page {visit.request.url.path[:200]} for you.",
            code="no_such_path",
        )
    elif not is_who:
        return go_to(f"{PATH}/sign-in")
    if not is_who:
        raise GatewayError(
            403,
            "Sign in with an admin token to do this. Nothing was done.",
            code="not_signed_in",
        )
    return await page(visit)


async def _end_if_over(visit: Visit) -> None:
    """The session's holder may have signed out, here or elsewhere; a tenant's key may have
    ended."""
    if not visit.is_signed_in:
        return
    holder, engine = visit.session.holder, visit.engine
    if await visit.do(has_ended, engine, visit.session.nonce) or (
        holder and not await visit.do(still_holds, engine, holder, visit.console.clock())
    ):
        visit.signs_in()
