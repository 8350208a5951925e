"""The gateway held to its own OpenAPI schema, by requests that schemathesis makes up.

Requests that the schema allows must be answered, those that it forbids refused, each with a
status and a body that the schema says, and never by a fault.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving.gateway.http.response_schemas import ChatChunk, ResponseEvent, TextChunk
from tests.support.running_gateway import RunningGateway
from tests.support.sizes import sized

EXAMPLES = sized(quick=10, long=50)  # of each kind, for a route
SEED = 20261125
OPERATIONS = [
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/responses", "POST"),
    ("/v1/summaries", "POST"),
    ("/v1/count_tokens", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{model}", "GET"),
    ("/v1/usage", "GET"),
    ("/healthz", "GET"),
]

TAKE_NOTHING = ("/v1/models", "/v1/models/{model}", "/healthz")  # or any name


def hold_stream(path: str, content: bytes) -> None:
    events = content.removesuffix(b"\n\n").split(b"\n\n")
    if path == "/v1/responses":
        for event in events:
            name, data = event.split(b"\ndata: ")
            said = ResponseEvent.model_validate_json(data)
            assert name == b"event: " + said.type.encode()
        return
    *chunks, end = events
    assert end == b"data: [DONE]"
    schema = ChatChunk if path == "/v1/chat/completions" else TextChunk
    for chunk in chunks:
        schema.model_validate_json(chunk.removeprefix(b"data: "))


@pytest.fixture
def schema(gateway: RunningGateway) -> BaseSchema:
    loaded = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    loaded.validate()
    # The key is the tests' own; that it is asked for, schemathesis checks by itself.
    loaded.config.generation.with_security_parameters = False
    return loaded


def test_every_route_is_in_the_schema(schema: BaseSchema) -> None:
    described = {
        (each.ok().path, each.ok().method.upper()) for each in schema.get_all_operations()
    }
    assert described == set(OPERATIONS)


@pytest.mark.sized
# What takes nothing can be asked nothing wrong.
@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [(*each, GenerationMode.POSITIVE) for each in OPERATIONS]
    + [(*each, GenerationMode.NEGATIVE) for each in OPERATIONS if each[0] not in TAKE_NOTHING],
)
def test_the_schema_is_true(
    gateway: RunningGateway, schema: BaseSchema, path: str, method: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    statuses: set[int] = set()
    headers = {"Authorization": f"Bearer {gateway.key()}"}
    with requests.Session() as session:
        session.trust_env = False

        def hold(case: Case[Any]) -> None:
            # A made up model is nobody's: it would be all that these are told.
            if mode.is_positive and isinstance(case.body, dict):
                case.body["model"] = "summarizer"
            if mode.is_positive and "model" in case.path_parameters:
                case.path_parameters["model"] = "summarizer"
            answer = case.call(gateway.url, session, headers)
            # How many tokens a text has, no schema can say.
            too_long = answer.status_code == 400 and "context_length_exceeded" in answer.text
            if too_long and mode.is_positive:
                assert isinstance(case.body, dict) and case.body["truncation"] == "disabled"
            case.validate_response(
                answer, excluded_checks=[positive_data_acceptance] if too_long else []
            )
            statuses.add(answer.status_code)
            if answer.headers["content-type"] == ["text/event-stream; charset=utf-8"]:
                hold_stream(path, answer.content)

        for case in schema.iter_coverage_cases(
            operation, generation_modes=[mode], generation_config=schema.config.generation
        ):
            hold(case)

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def made_up(case: Case[Any]) -> None:
            hold(case)

        made_up()
    print(path, mode.value, sorted(statuses))
    assert not any(status >= 500 for status in statuses)
    if mode.is_positive:
        assert 200 in statuses
    _, findings = gateway.verify()
    assert findings == []
