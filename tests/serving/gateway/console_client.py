"""A browser's part of the console, without a browser: cookies, forms and their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Final

import httpx
import sqlalchemy as sa

from serving.ledger import Charge, Ledger, Reservation, Usage
from serving.ledger.clock import Clock
from tests.serving.gateway.admin_client import TOKEN
from tests.support.running_gateway import DEADLINE_S

PATH: Final = "/console"


class ConsoleClient:
    """Holds a session, as a browser does."""

    def __init__(self, client: httpx.Client) -> None:
        self.http = client

    def get(self, path: str = "", status: int = 200) -> str:
        """A page with all that it waits for: as long as it says so, it is asked for again."""
        answer = self.http.get(PATH + path)
        while "refresh" in answer.headers:
            answer = self.http.get(PATH + path)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer.text

    def post(self, path: str, fields: dict[str, str], status: int) -> httpx.Response:
        """A form as it is, with no token but its own."""
        answer = self.http.post(PATH + path, data=fields)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer

    def sign_in(self, secret: str = TOKEN, status: int = 303) -> httpx.Response:
        fields = {"form_token": self.form_token("/sign-in"), "secret": secret}
        return self.post("/sign-in", fields, status)

    def form_token(self, page: str = "/prices") -> str:
        """What forms of this session carry."""
        return _value(self.get(page), "form_token")

    def asked(self, action: str, status: int = 200, **fields: str) -> httpx.Response:
        """The page that asks for confirmation."""
        return self.post(f"/do/{action}", {"form_token": self.form_token(), **fields}, status)

    def confirmation(self, action: str, **fields: str) -> dict[str, str]:
        """The form that confirms an action."""
        return _fields(self.asked(action, 200, **fields).text, f"{PATH}/do/{action}")

    def act(self, action: str, status: int = 303, **fields: str) -> httpx.Response:
        """An action, confirmed."""
        return self.post(f"/do/{action}", self.confirmation(action, **fields), status)


@contextmanager
def console_client(admin_url: str) -> Iterator[ConsoleClient]:
    with httpx.Client(base_url=admin_url, timeout=DEADLINE_S, trust_env=False) as client:
        yield ConsoleClient(client)


class Markup(HTMLParser):
    """The elements of a page, with the names of their attributes, and its text.

    In the text there is a space where an element begins.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        self.texts.append(" ")

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ()))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def charge(
    engine: sa.Engine,
    clock: Clock,
    tenant: str,
    request_id: str,
    model: str = "summarizer",
    version: str = "1",
    key_id: str | None = None,
    finish_reasons: str = "stop",
    amount_micro: int = 240,
) -> None:
    """A request of 120 input tokens, 20 of them cached, and 30 output tokens."""
    ledger = Ledger(engine, "test", clock)
    ledger.reserve(Reservation(request_id, tenant, amount_micro, "a" * 64, key_id=key_id))
    usage = Usage(model, version, "f" * 64, 1, 120, 20, 30, finish_reasons, 40)
    price = Charge(amount_micro, "EUR", "2026")
    ledger.settle(request_id, usage, lambda used, before: price, b"")


def _value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def _fields(page: str, action: str) -> dict[str, str]:
    """Hidden fields of the form with an address."""

    class Fields(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.found = False, dict[str, str]()

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            named = dict(attributes)
            if tag == "form":
                self.inside = named.get("action") == action
            elif tag == "input" and self.inside:
                self.found[str(named["name"])] = named.get("value") or ""

    fields = Fields()
    fields.feed(page)
    return fields.found
