"""Schemas of responses, as ``/openapi.json`` states them.

`render.py` writes the responses as plain dictionaries, for speed; the tests check them against
these schemas.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Count = Annotated[int, Field(ge=0)]
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Response(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(_Response):
    """What was wrong, in OpenAI's shape."""

    message: Annotated[str, Field(min_length=1)]
    type: str
    param: str | None
    code: str | None


class Failure(_Response):
    """A response that is an error."""

    error: Error


class Status(_Response):
    """The process is alive."""

    status: Literal["ok"]


class Model(_Response):
    """A model, in OpenAI's shape."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(_Response):
    """The models that a key may ask."""

    object: Literal["list"]
    data: list[Model]


class Count(_Response):
    """What a text would be billed."""

    input_tokens: _Count
    truncated_tokens: _Count


class Counts(_Response):
    """What texts would be billed, in their order."""

    model: str
    counts: list[Count]


class Summary(_Response):
    """One summary and its counts, as the counting contract says them, and the cache's."""

    summary: str
    input_tokens: _Count
    cached_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count
    truncated_tokens: _Count
    finish_reason: Literal["stop", "length"]


class Usage(_Response):
    """What the summaries of a request add up to; truncated tokens were cut off, free."""

    input_tokens: _Count
    cached_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count
    truncated_tokens: _Count


class Summaries(_Response):
    """Summaries in the order of their texts, and which model wrote them."""

    id: str
    model: str
    model_version: str
    tokenizer_fingerprint: _Hash
    contract_version: int
    summaries: list[Summary]
    usage: Usage


class ChatMessage(_Response):
    """The summary, as a chat's message."""

    role: Literal["assistant"]
    content: str
    refusal: None


class Choice(_Response):
    """The one answer of a chat."""

    index: Literal[0]
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None


class TokensDetails(_Response):
    """Of the tokens read: how many the cache had; and how many were cut off, and are free."""

    cached_tokens: _Count
    truncated_tokens: _Count


class ChatUsage(_Response):
    """Tokens, by OpenAI's names."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: TokensDetails


class ChatCompletion(_Response):
    """``chat.completion``, in OpenAI's shape."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1)]
    usage: ChatUsage


class Delta(_Response):
    """What a chunk adds to the answer."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(_Response):
    """The one answer of a chat, a piece of it."""

    index: Literal[0]
    delta: Delta
    finish_reason: Literal["stop", "length"] | None
    logprobs: None


class ChatChunk(_Response):
    """``chat.completion.chunk``, in OpenAI's shape; one with the usage has no choice."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: Annotated[list[ChunkChoice], Field(max_length=1)]
    usage: ChatUsage | None = None


class TextChoice(_Response):
    """The one answer of a completion."""

    index: Literal[0]
    text: str
    finish_reason: Literal["stop", "length"]
    logprobs: None


class TextCompletion(_Response):
    """``text_completion``, in OpenAI's shape."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: Annotated[list[TextChoice], Field(min_length=1, max_length=1)]
    usage: ChatUsage


class TextChunk(_Response):
    """A completion in a stream; one with the usage has no choice."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: Annotated[list[TextChoice], Field(max_length=1)]
    usage: ChatUsage | None = None


class OutputText(_Response):
    """The summary, as a part of a response's message."""

    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[str], Field(max_length=0)]
    logprobs: Annotated[list[str], Field(max_length=0)]


class OutputMessage(_Response):
    """The one message of a response."""

    type: Literal["message"]
    id: str
    status: Literal["completed", "incomplete"]
    role: Literal["assistant"]
    content: Annotated[list[OutputText], Field(min_length=1, max_length=1)]


class OutputTokensDetails(_Response):
    """Of the tokens written: none is for reasoning."""

    reasoning_tokens: Literal[0]


class ResponseUsage(_Response):
    """Tokens, by the names of the Responses API."""

    input_tokens: _Count
    input_tokens_details: TokensDetails
    output_tokens: _Count
    output_tokens_details: OutputTokensDetails
    total_tokens: _Count


class IncompleteDetails(_Response):
    """Why a response is incomplete: the limit of output tokens came first."""

    reason: Literal["max_output_tokens"]


class ResponseObject(_Response):
    """``response``, in OpenAI's shape."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    error: None
    incomplete_details: IncompleteDetails | None
    instructions: None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: Annotated[list[OutputMessage], Field(min_length=1, max_length=1)]
    parallel_tool_calls: Literal[False]
    previous_response_id: None
    store: Literal[False]
    temperature: None
    text: dict[str, dict[str, str]]
    tool_choice: Literal["none"]
    tools: Annotated[list[str], Field(max_length=0)]
    top_p: None
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage


class ResponseEvent(BaseModel):
    """An event of a response's stream, of the types that OpenAI's API has for text."""

    model_config = ConfigDict(extra="allow")
    type: str
    sequence_number: _Count


class KeyBudget(_Response):
    """What the key that asks may spend in the month, within its tenant's budget: millionths of
    the currency's unit."""

    key_id: str
    budget_micro: _Count
    used_micro: int
    remaining_micro: _Count
    resets_at: str


class UsageOfMonth(_Response):
    """What a tenant has used in a month: tokens, and millionths of the currency's unit."""

    tenant: str
    month: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount_micro: int
    entries: _Count
    reserved_micro: _Count
    budget_micro: int | None
    remaining_micro: _Count | None
    key_budget: KeyBudget | None
