"""What a caller asks, and what a model answers, in no API's shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.gateway.backend import ServedVersion
from tokenizer.contract import MeteredSummary


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks of a model.

    Attributes:
      texts: to be summarised, at least one.
      max_output_tokens: for each at most; 0 for the model's own limit.
      request: as it came: with the same key, the same must come again.
      idempotency_key: the caller's; None for none.
    """

    texts: Sequence[str]
    max_output_tokens: int
    request: bytes
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer to a question, before it is put into an API's shape.

    Attributes:
      summaries: of each text.
      cached_tokens: of each text, those of its input tokens that the cache answered for: all
        or none.
    """

    request_id: str
    version: ServedVersion
    summaries: list[MeteredSummary]
    cached_tokens: list[int]


Render = Callable[[Answered], bytes]
