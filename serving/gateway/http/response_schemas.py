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
    """Whether the gateway lives, or may be asked."""

    status: Literal["ok", "ready"]


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
    """What the summaries of a request add up to."""

    input_tokens: _Count
    cached_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count


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


class PromptTokensDetails(_Response):
    """Of the tokens read: how many the cache had."""

    cached_tokens: _Count


class ChatUsage(_Response):
    """Tokens, by OpenAI's names."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: PromptTokensDetails


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
