"""The admin API held to its own OpenAPI schema, by requests that schemathesis makes up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import BaseSchema, Case, GenerationMode

from serving.engines.base import HeldPorts
from serving.gateway.admin.openapi import openapi_document
from serving.gateway.admin.routes import PREFIX
from serving.ledger.database import open_database
from serving.ledger.verification import verify
from tests.serving.gateway.admin_client import TOKEN, TOKENS, admin_client
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.running_gateway import DEADLINE_S, RunningGateway, gateway_on
from tests.support.sizes import sized

EXAMPLES = sized(quick=5, long=25)  # of each kind, for a route
SEED = 20261128
OPERATIONS = [
    (path, method.upper())
    for path, methods in openapi_document()["paths"].items()
    for method in methods
]
# A check is a process; what takes nothing, or any name, can be asked nothing wrong.
SLOW = (f"{PREFIX}/ledger/check",)
NOTHING_WRONG = (
    f"{PREFIX}/plans",
    *(f"{PREFIX}/tenants/{{tenant}}{rest}" for rest in ("/keys", "/invoices")),
    f"{PREFIX}/keys/{{key_id}}",
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """It has no model server, which administration does not need."""
    folder, nobody = tmp_path_factory.mktemp("admin-schema"), HeldPorts(1)
    engine = open_database(sqlite_ledger(folder))
    url = f"http://127.0.0.1:{nobody.numbers[0]}"
    with gateway_on(engine, folder, folder, [url], admin_tokens=TOKENS) as running:
        yield running
    engine.dispose()
    nobody.close()


@pytest.fixture(scope="module")
def schema(gateway: RunningGateway) -> BaseSchema:
    loaded = schemathesis.openapi.from_url(f"{gateway.admin_url}{PREFIX}/openapi.json")
    loaded.validate()
    # The token is the tests' own; that it is asked for, schemathesis checks by itself.
    loaded.config.generation.with_security_parameters = False
    loaded.config.request_timeout = DEADLINE_S  # a check is a process that has to start
    return loaded


@pytest.mark.sized
@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [(*each, GenerationMode.POSITIVE) for each in OPERATIONS]
    + [
        (*each, GenerationMode.NEGATIVE)
        for each in OPERATIONS
        if (each[0] not in NOTHING_WRONG or each[1] == "PATCH" or each[1] == "POST")
    ],
)
def test_the_schema_is_true(
    gateway: RunningGateway, schema: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    statuses: set[int] = set()
    name = f"t{len(list_names(gateway))}"
    with admin_client(gateway.admin_url) as admin:
        admin("POST", "/tenants", {"name": name}, 201)
        key_id = admin("POST", f"/tenants/{name}/keys", {}, 201)["record"]["key_id"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with requests.Session() as session:
        session.trust_env = False

        def hold(case: Case[Any]) -> None:
            # Made up names are nobody's: that would be all that these are told.
            if mode.is_positive:
                for parameter, value in (("tenant", name), ("key_id", key_id)):
                    if parameter in case.path_parameters:
                        case.path_parameters[parameter] = value
                if isinstance(case.body, dict) and "plan" in case.body:
                    case.body["plan"] = "standard"
                if path in SLOW and isinstance(case.body, dict):
                    case.body["anchors"] = []
                name_of = case.body.get("name") if isinstance(case.body, dict) else None
                if isinstance(case.body, dict) and isinstance(name_of, str):
                    # No pattern says what can be printed.
                    case.body["name"] = "".join(filter(str.isprintable, name_of))
                if isinstance(case.body, dict) and case.body.get("expires_at"):
                    case.body["expires_at"] = "2099-01-01T00:00:00Z"
                case.query.pop("after", None)
                if case.query.get("format") == "pdf":  # it takes long, and is tested elsewhere
                    case.query["format"] = "html"
                if "issued" in case.query:
                    case.query["issued"] = "9999-12-31"
            statuses.add(
                case.call_and_validate(gateway.admin_url, session, headers).status_code
            )

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES if path not in SLOW else 2,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def made_up(case: Case[Any]) -> None:
            hold(case)

        made_up()
        if path not in SLOW:
            for case in schema.iter_coverage_cases(
                operation, generation_modes=[mode], generation_config=schema.config.generation
            ):
                hold(case)
    print(path, method, mode.value, sorted(statuses))
    assert not any(status >= 500 for status in statuses)
    if mode.is_positive:
        assert statuses & {200, 201}
    assert verify(gateway.engine)[1] == []


def list_names(gateway: RunningGateway) -> list[str]:
    with gateway.engine.connect() as connection:
        return list(connection.scalars(sa.text("SELECT name FROM tenants")))
