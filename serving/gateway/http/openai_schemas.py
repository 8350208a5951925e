"""Schemas of request bodies in OpenAI's shapes: chat completions, responses, completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from serving.gateway.errors import bad_request
from serving.gateway.http.schemas import (
    HAS_TEXT,
    MAX_MESSAGES,
    Limit,
    Model,
    Nothing,
    Text,
    Truncated,
    last_of_user,
    only,
)

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


def _user_text(kind: str) -> dict[str, Any]:
    """JSON Schema of a message of the user's that can be read."""
    text = {"type": "string", "minLength": 1, "pattern": HAS_TEXT}
    part = {
        "type": "object",
        "properties": {
            "type": {"const": kind},
            "text": text,
        },
        "required": ["type", "text"],
    }
    parts = {"type": "array", "minItems": 1, "items": part}
    return {
        "type": "object",
        "properties": {
            "role": {"const": "user"},
            "content": {"anyOf": [text, parts]},
        },
        "required": ["role", "content"],
    }


def _with_messages(field: str, kind: str, role_required: bool) -> Any:
    """Say in a schema which messages are read: those of the user, of one kind of parts."""
    others = [each for each in get_args(Role) if each != "user"]
    if not role_required:
        others.append(None)

    def extend(schema: dict[str, Any]) -> None:
        of_field = schema["properties"][field]
        (messages,) = [
            each for each in of_field.get("anyOf", [of_field]) if each.get("type") == "array"
        ]
        user = _user_text(kind)
        messages["contains"] = user
        messages["items"] = {
            "anyOf": [
                user,
                {
                    "type": "object",
                    "properties": {"role": {"enum": others}},
                    "required": ["role"] if role_required else [],
                },
            ]
        }

    return extend


NoBias = Annotated[dict[str, Any], Field(max_length=0)]


class StreamOptions(BaseModel):
    """Of a stream: whether a last chunk says what was used."""

    model_config = ConfigDict(strict=True, extra="ignore")
    include_usage: bool | None = None


class TextFormat(BaseModel):
    """The only format that is supported."""

    model_config = ConfigDict(extra="ignore")
    type: Annotated[Literal["text"] | None, only("text")] = None


class TextSettings(BaseModel):
    """Settings of the text of a response."""

    model_config = ConfigDict(extra="ignore")
    format: TextFormat | None = None


class Message(BaseModel):
    """A message. Its content is read where it is the last of the user."""

    model_config = ConfigDict(extra="ignore")
    role: Role
    content: Any = None


class _Request(BaseModel):
    """What all of OpenAI's requests have."""

    model_config = ConfigDict(extra="ignore", strict=True)
    model: Model
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Truncated | None = None

    def includes_usage(self) -> bool:
        """Whether a stream ends with what was used."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(_Request):
    """``POST /v1/chat/completions``: the document is the last message of the user."""

    model_config = ConfigDict(json_schema_extra=_with_messages("messages", "text", True))
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    n: Annotated[Literal[1] | None, only(1)] = None
    tools: Annotated[Nothing | None, only([])] = None
    functions: Annotated[Nothing | None, only([])] = None
    response_format: TextFormat | None = None
    stop: Annotated[Nothing | None, only([])] = None
    logprobs: Annotated[Literal[False] | None, only(False)] = None
    top_logprobs: Annotated[Literal[0] | None, only(0)] = None
    logit_bias: Annotated[NoBias | None, only({})] = None
    audio: Annotated[None, only()] = None
    web_search_options: Annotated[None, only()] = None

    def document(self) -> str:
        """The text to summarise.

        Raises:
          GatewayError: there is none.
        """
        return last_of_user([(each.role, each.content) for each in self.messages], "messages")

    def limit(self) -> int:
        """Output tokens at most; 0 for the model's own limit."""
        return self.max_completion_tokens or self.max_tokens or 0


class CompletionRequest(_Request):
    """``POST /v1/completions``: the document is the prompt, of which there is one."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    max_tokens: Limit | None = None
    n: Annotated[Literal[1] | None, only(1)] = None
    best_of: Annotated[Literal[1] | None, only(1)] = None
    echo: Annotated[Literal[False] | None, only(False)] = None
    stop: Annotated[Nothing | None, only([])] = None
    logprobs: Annotated[None, only()] = None
    logit_bias: Annotated[NoBias | None, only({})] = None
    suffix: Annotated[Literal[""] | None, only("")] = None

    def document(self) -> str:
        """The text to summarise."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def limit(self) -> int:
        """Output tokens at most; 0 for the model's own limit."""
        return self.max_tokens or 0


class InputItem(BaseModel):
    """An item of a response's input. It is read where it is the last message of the user."""

    model_config = ConfigDict(extra="ignore")
    role: Role | None = None
    content: Any = None


class ResponsesRequest(_Request):
    """``POST /v1/responses``: the document is the input, or its last message of the user."""

    model_config = ConfigDict(json_schema_extra=_with_messages("input", "input_text", False))
    input: Text | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_output_tokens: Limit | None = None
    text: TextSettings | None = None
    tools: Annotated[Nothing | None, only([])] = None
    background: Annotated[Literal[False] | None, only(False)] = None
    conversation: Annotated[None, only()] = None
    previous_response_id: Annotated[None, only()] = None
    prompt: Annotated[None, only()] = None
    top_logprobs: Annotated[Literal[0] | None, only(0)] = None
    include: list[str] | None = None

    def document(self) -> str:
        """The text to summarise.

        Raises:
          GatewayError: there is none.
        """
        if any("logprobs" in each for each in self.include or []):
            raise bad_request(
                "include is not supported for log probabilities. Leave it out.",
                "include",
                "unsupported_parameter",
            )
        if isinstance(self.input, str):
            return self.input
        return last_of_user([(each.role or "", each.content) for each in self.input], "input")

    def limit(self) -> int:
        """Output tokens at most; 0 for the model's own limit."""
        return self.max_output_tokens or 0
