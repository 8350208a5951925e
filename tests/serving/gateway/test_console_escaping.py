"""No text becomes markup, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serving.gateway import administration
from serving.gateway.administration import (
    Administrator,
    KeyWish,
    change_key,
    top_up_credit,
)
from serving.ledger.database import open_database
from tests.serving.gateway.admin_client import TOKENS
from tests.serving.gateway.console_client import (
    ConsoleClient,
    Markup,
    charge,
    console_client,
)
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import RunningGateway, gateway_on, mid_month

MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=y>&lt;{{ 7 * 7 }}"
TEXTS = st.text(
    st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60
) | st.sampled_from(["<b>", "\"onclick='x'", "</title><script>", "&amp;", "<!--", "{{ 1 }}"])
FUZZED = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("console")
    engine = open_database(sqlite_ledger(folder))
    with gateway_on(
        engine, folder, folder, ["http://127.0.0.1:9"], admin_tokens=TOKENS
    ) as running:
        yield running
    engine.dispose()


@pytest.fixture(scope="module")
def console(gateway: RunningGateway) -> Iterator[ConsoleClient]:
    with console_client(gateway.admin_url) as client:
        client.sign_in()
        yield client


def elements(console: ConsoleClient, path: str) -> list[tuple[str, tuple[str, ...]]]:
    return Markup(console.get(path)).elements


def key_of(engine: sa.Engine, tenant: str) -> str:
    return administration.list_keys(engine, tenant)[0].key_id


@FUZZED
@given(TEXTS)
@example(MARKUP)
def test_names_of_keys(gateway: RunningGateway, console: ConsoleClient, text: str) -> None:
    tenant = gateway.for_one_test().name("names")
    by = Administrator(gateway.engine, "plain")
    administration.create_tenant(by, tenant, "standard")
    key = administration.make_key(by, tenant, KeyWish(name="plain")).record.key_id
    pages = (f"/tenants/{tenant}", f"/keys/{key}")
    before = [elements(console, page) for page in pages]
    change_key(by, key, {"name": text})
    assert [elements(console, page) for page in pages] == before
    for page in (*pages, f"/audit-log?tenant={tenant}"):
        assert text in Markup(console.get(page)).text


@FUZZED
@given(TEXTS, TEXTS)
@example(MARKUP, MARKUP)
@example("plain", ",")
def test_reasons_models_and_who_did_it(
    gateway: RunningGateway, console: ConsoleClient, text: str, model: str
) -> None:
    found = []
    texts = ("plain", "plain"), (text, model)
    for reason, name in texts:
        tenant = gateway.for_one_test().name("texts")
        by = Administrator(gateway.engine, reason)
        administration.create_tenant(by, tenant, "standard")
        charge(
            gateway.engine,
            mid_month,
            tenant,
            f"request of {tenant}",
            model=name,
            version=name,
            # Commas stand between the reasons of several choices; there is at least one.
            finish_reasons=name.replace(",", "") or "stop",
        )
        top_up_credit(by, tenant, 5, "EUR", reason)
        pages = [
            f"/tenants/{tenant}/entries",
            f"/audit-log?tenant={tenant}",
            f"/tenants/{tenant}",
        ]
        found.append([elements(console, page) for page in pages])
        assert reason in Markup(console.get(pages[0])).text
        assert name in Markup(console.get(pages[2])).text
    assert found[0] == found[1]


@FUZZED
@given(TEXTS)
@example(MARKUP)
def test_what_a_browser_sends(
    gateway: RunningGateway, console: ConsoleClient, text: str
) -> None:
    plain, fuzzed = (
        Markup(
            console.post(
                "/do/top-up",
                {
                    "form_token": console.form_token(),
                    "tenant": each,
                    "reason": each,
                    "amount": "1",
                },
                200,
            ).text
        )
        for each in ("plain", text)
    )
    assert plain.elements == fuzzed.elements
    assert text.strip() in fuzzed.text
    missing = [
        Markup(console.http.get(f"/console/{quote(each, safe='')}").text).elements
        for each in ("plain page", text)
        if each not in (".", "..")
    ]
    assert len({tuple(each) for each in missing}) == 1
