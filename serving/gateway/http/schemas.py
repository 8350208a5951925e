"""Schemas of request bodies, checked by pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_TEXTS = 64
MAX_MESSAGES = 256
MAX_MODEL_NAME = 100
MAX_KEY_CHARACTERS = 255
MONTH = "[0-9]{4}-(0[1-9]|1[0-2])"


def _whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is as whole as 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Limit = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True), BeforeValidator(_whole)]


def _one_message_is_the_users(schema: dict[str, Any]) -> None:
    schema["properties"]["messages"]["contains"] = {
        "properties": {"role": {"const": "user"}},
        "required": ["role"],
    }


class StreamOptions(BaseModel):
    """Of a stream: whether a last chunk says what was used."""

    model_config = ConfigDict(strict=True)
    include_usage: bool = False


class TextPart(BaseModel):
    """A part of a message; only texts are understood."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class ChatRequest(BaseModel):
    """``POST /v1/chat/completions``: the document is the last message of the user.

    What does not change the answer is ignored, as an OpenAI client sends it for other
    models; ``n`` and the like, which would, are refused.
    """

    # A schema of JSON can say that one message is the user's, so that clients can know it.
    model_config = ConfigDict(
        extra="ignore", strict=True, json_schema_extra=_one_message_is_the_users
    )
    model: Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    n: Annotated[Literal[1], BeforeValidator(_whole)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None

    def document(self) -> str | None:
        """The text to summarise; None where the user has said nothing."""
        texts = [message.text() for message in self.messages if message.role == "user"]
        return texts[-1] if texts else None

    def limit(self) -> int:
        """Output tokens at most; 0 for the model's own limit."""
        return self.max_completion_tokens or self.max_tokens or 0


class CountRequest(BaseModel):
    """``POST /v1/count_tokens``: what texts would be billed."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
    text: str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]

    def texts(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) else self.text


class SummariesRequest(CountRequest):
    """``POST /v1/summaries``: one text or many."""

    max_output_tokens: _Limit | None = None
