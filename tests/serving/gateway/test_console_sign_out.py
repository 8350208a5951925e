"""Signing out ends a session for whoever has its cookie, at all gateways of a ledger."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa

from serving.gateway.administration.ended_sessions import end_session, has_ended
from serving.gateway.console.sessions import COOKIE
from tests.serving.gateway.console_client import PATH, ConsoleClient
from tests.serving.gateway.test_console_once import consoles
from tests.support.tenants import add_key

__all__ = ["consoles"]

NOW = datetime.datetime(2026, 11, 10, 12)


@pytest.mark.parametrize("who", ["administrator", "tenant"])
def test_a_copy_of_the_cookie_is_worth_nothing_after_signing_out(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine, who: str
) -> None:
    here, there = consoles
    page = "/prices"
    if who == "tenant":
        here.http.cookies.clear()
        here.sign_in(add_key(engine, "acme"))
        page = "/account"
    copy = {"Cookie": f"{COOKIE}={here.http.cookies[COOKIE]}"}
    token = here.form_token(page)
    for each in consoles:
        each.http.cookies.clear()
        assert each.http.get(PATH + page, headers=copy).status_code == 200
    here.http.post(f"{PATH}/sign-out", data={"form_token": token}, headers=copy)
    for each in consoles:
        each.http.cookies.clear()
        assert each.http.get(PATH + page, headers=copy).status_code == 303
        each.http.cookies.clear()
        fields = {"form_token": token, "tenant": "other", "plan": "standard"}
        done = each.http.post(f"{PATH}/do/create-tenant", data=fields, headers=copy)
        assert done.status_code == 403 and "Nothing was done" in done.text
    there.http.cookies.clear()
    there.sign_in()
    there.get("/tenants")


def test_another_session_of_the_same_token_goes_on(consoles: tuple[ConsoleClient, ...]) -> None:
    here, there = consoles
    there.http.cookies.clear()
    there.sign_in()
    here.post("/sign-out", {"form_token": here.form_token()}, 303)
    here.get("/tenants", 303)
    there.get("/tenants")


def test_ended_sessions_are_forgotten_when_they_would_be_over(engine: sa.Engine) -> None:
    later = NOW + datetime.timedelta(hours=9)
    for _ in range(2):
        end_session(engine, "first", later, NOW)
    assert has_ended(engine, "first") and not has_ended(engine, "second")
    end_session(engine, "second", later, later)
    assert has_ended(engine, "first")
    end_session(engine, "third", later, later + datetime.timedelta(microseconds=1))
    assert [has_ended(engine, each) for each in ("first", "second", "third")] == [
        *(False, False, True)
    ]


def test_signing_out_fails_while_the_ledger_cannot_keep_it(
    consoles: tuple[ConsoleClient, ...], engine: sa.Engine
) -> None:
    """Who is told that the session has ended can rely on it."""
    here, _ = consoles
    token = here.form_token()
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE ended_sessions RENAME TO elsewhere"))
    answer = here.http.post(f"{PATH}/sign-out", data={"form_token": token})
    assert answer.status_code >= 500
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO ended_sessions"))
    here.get("/tenants")
