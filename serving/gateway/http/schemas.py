"""Schemas of request bodies, checked by pydantic: what all share, and this API's own.

A field that may be missing may be null, too. What would change an answer and is not supported
is refused by its name (`only`); what would not is ignored, as clients send it for other models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from serving.gateway.errors import bad_request

MAX_TEXTS = 64
MAX_MESSAGES = 256
MAX_MODEL_NAME = 100
MAX_KEY_CHARACTERS = 255
MONTH = "[0-9]{4}-(0[1-9]|1[0-2])"
HAS_TEXT: Final = r"\S"
"""Pattern, in a JSON Schema, of what has more than white space in it."""
UNSUPPORTED: Final = "unsupported"
"""Type of the errors that `only` raises."""
NO_TEXT: Final = "no_text"
"""Type of the errors of a `Text` that has none."""
_MAX_ECHOED = 40
_TEXT_PARTS: Final = ("text", "input_text")


def whole(value: object) -> object:
    """JSON knows one kind of number: 5.0 is as whole as 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def only(*accepted: object) -> BeforeValidator:
    """Refuse a field by its name where it asks for something that is not supported.

    Args:
      accepted: values that ask for nothing, besides null.
    """

    def check(value: object) -> object:
        value = whole(value)
        if value is None or any(type(value) is type(a) and value == a for a in accepted):
            return value
        expected = " or ".join(["nothing", *(repr(each) for each in accepted)])
        raise PydanticCustomError(UNSUPPORTED, f"is not supported. Expected: {expected}")

    return BeforeValidator(check)


def _has_text(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError(NO_TEXT, "There is no text to summarise")
    return value


Limit = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True), BeforeValidator(whole)]
Model = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME)]
Text = Annotated[
    str,
    Field(json_schema_extra={"minLength": 1, "pattern": HAS_TEXT}),
    AfterValidator(_has_text),
]
"""A text with more than white space in it."""
Truncated = Literal["auto", "disabled"]
Nothing = Annotated[list[Any], Field(max_length=0)]
"""A list that must be empty."""


def text_of(content: object, where: str) -> str:
    """The text of a message that is to be summarised.

    Args:
      content: a text, or a list of parts.
      where: the field, for errors.

    Raises:
      GatewayError: it is not text, or there is none.
    """
    if isinstance(content, list):
        content = "".join(_part_text(part, f"{where}.{i}") for i, part in enumerate(content))
    if content is not None and not isinstance(content, str):
        raise bad_request(
            f"{where}: Expected: a text, or a list of parts. Received: "
            f"{type(content).__name__}",
            where,
        )
    if not content or not content.strip():
        raise bad_request(f"{where}: There is no text to summarise.", where)
    return content


def _part_text(part: object, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get("text") if isinstance(part, dict) else None
    if kind in _TEXT_PARTS and isinstance(text, str):
        return text
    raise bad_request(
        f"{where}: Only text can be summarised. Expected: a part with the type "
        f"{' or '.join(_TEXT_PARTS)}, and its text. Received: the type "
        f"{str(kind)[:_MAX_ECHOED]!r}",
        where,
        "unsupported_value",
    )


def last_of_user(messages: Sequence[tuple[str, Any]], field: str) -> str:
    """The text of the user's last message; those before it are not read, and not judged.

    Args:
      messages: role and content of each.
      field: that they are in, for errors.

    Raises:
      GatewayError: there is none, or it is not text.
    """
    for index in reversed(range(len(messages))):
        role, content = messages[index]
        if role == "user":
            return text_of(content, f"{field}.{index}.content")
    raise bad_request("The request has no message with the role 'user' to summarise.", field)


class CountRequest(BaseModel):
    """``POST /v1/count_tokens``: what texts would be billed."""

    model_config = ConfigDict(extra="forbid")
    model: Model
    text: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]

    def texts(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) else self.text


class SummariesRequest(CountRequest):
    """``POST /v1/summaries``: one text or many."""

    max_output_tokens: Limit | None = None
    truncation: Truncated | None = None
