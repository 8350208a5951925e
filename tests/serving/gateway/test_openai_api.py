"""OpenAI's own client against the gateway: responses, completions, models."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support.running_gateway import RunningGateway
from tests.support.tenants import add_key

TEXT = "one two three four five"
SHORT = "one two three"


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key()) as client:
        yield client


def test_responses(gateway: RunningGateway, client: openai.OpenAI) -> None:
    answer = client.responses.create(model="summarizer", input=SHORT)
    assert answer.output_text == "ONE TWO THREE"
    assert (answer.status, answer.error, answer.incomplete_details) == ("completed", None, None)
    usage = answer.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 3, 6)
    assert usage.input_tokens_details.cached_tokens == 0
    cut = client.responses.create(
        model="summarizer",
        instructions="Be brief.",
        input=[
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "x", "detail": "auto"}],
            },
            {"role": "assistant", "content": "What is it?"},
            {"role": "user", "content": [{"type": "input_text", "text": TEXT}]},
        ],
        max_output_tokens=2,
    )
    assert cut.output_text == "ONE TWO"
    assert cut.status == "incomplete" and cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    amounts = [(row.input_tokens, row.output_tokens) for row in gateway.entries()]
    assert amounts == [(3, 3), (5, 2)]
    assert gateway.verify() == (2, [])


def test_the_events_of_a_response(gateway: RunningGateway, client: openai.OpenAI) -> None:
    with client.responses.stream(model="summarizer", input=SHORT) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(9))
    assert final.output_text == "ONE TWO THREE"
    assert final.usage is not None and final.usage.total_tokens == 6
    raw = list(client.responses.create(model="summarizer", input=TEXT, stream=True))
    assert raw[-1].type == "response.incomplete"  # the model's own limit came first
    assert len(gateway.entries()) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("background", True),
        ("conversation", "conv_1"),
        ("tools", [{"type": "web_search"}]),
        ("prompt", {"id": "p"}),
        ("top_logprobs", 2),
        ("include", ["message.output_text.logprobs"]),
    ],
)
def test_what_responses_do_not_support_is_refused_by_name(
    client: openai.OpenAI, field: str, value: object
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="summarizer", input=SHORT, extra_body={field: value})
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", field)


def test_another_format_of_responses_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model="summarizer", input=SHORT, text={"format": {"type": "json_object"}}
        )
    assert refused.value.param == "text.format.type"


def test_completions(gateway: RunningGateway, client: openai.OpenAI) -> None:
    answer = client.completions.create(model="summarizer", prompt=TEXT, max_tokens=3)
    assert (answer.object, answer.choices[0].text) == ("text_completion", "ONE TWO THREE")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.total_tokens == 8
    chunks = list(
        client.completions.create(
            model="summarizer",
            prompt=[SHORT],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "ONE TWO THREE"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 6
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="summarizer", prompt=["a", "b"])
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="summarizer", prompt="a", echo=True)
    assert refused.value.param == "echo"
    assert len(gateway.entries()) == 2


def test_one_model(gateway: RunningGateway, client: openai.OpenAI) -> None:
    assert client.models.retrieve("summarizer").id == "summarizer"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-9")
    assert unknown.value.code == "model_not_found"
    scoped = add_key(gateway.engine, gateway.name("acme"), "other")
    with pytest.raises(openai.NotFoundError):
        client.with_options(api_key=scoped).models.retrieve("summarizer")
