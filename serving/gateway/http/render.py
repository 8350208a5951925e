"""Renders responses: the contract's own fields, OpenAI's older shapes, and the headers of all.

The body of ``/v1/responses`` is rendered by `render_responses.py`. A summary is written whole,
so that a stream has it in one piece: it is charged before any of it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import orjson

from serving.gateway.ports import Quota, SummaryResponse, SummaryResult

REPLAYED: Final = "Idempotent-Replayed"
REDELIVERED: Final = "X-Redelivered"
TRUNCATED: Final = "X-Truncated-Tokens"
EXPOSED: Final = (
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    REPLAYED,
    REDELIVERED,
    TRUNCATED,
    "x-ratelimit-remaining-budget-micro",
    *(
        f"x-ratelimit-{what}-{of}"
        for of in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    ),
    "x-ratelimit-limit-key-budget-micro",
    "x-ratelimit-remaining-key-budget-micro",
    "x-ratelimit-reset-key-budget",
)
"""What a browser's page may read."""


def chat_completion(result: SummaryResult) -> bytes:
    """``chat.completion`` of one summary."""
    (summary,) = result.summaries
    message = {"role": "assistant", "content": summary.summary, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": summary.finish_reason,
        "logprobs": None,
    }
    return _completion(result, "chatcmpl", "chat.completion", choice)


def text_completion(result: SummaryResult) -> bytes:
    """``text_completion`` of one summary."""
    (summary,) = result.summaries
    choice = {
        "index": 0,
        "text": summary.summary,
        "finish_reason": summary.finish_reason,
        "logprobs": None,
    }
    return _completion(result, "cmpl", "text_completion", choice)


def _completion(result: SummaryResult, prefix: str, kind: str, choice: dict[str, Any]) -> bytes:
    (summary,), (cached_tokens,) = result.summaries, result.cached_tokens
    return orjson.dumps(
        {
            "id": f"{prefix}-{result.request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": result.version.model,
            "system_fingerprint": result.version.full_name,
            "choices": [choice],
            "usage": {
                "prompt_tokens": summary.input_tokens,
                "completion_tokens": summary.output_tokens,
                "total_tokens": summary.total_tokens,
                "prompt_tokens_details": {
                    "cached_tokens": cached_tokens,
                    "truncated_tokens": summary.truncated_tokens,
                },
            },
        }
    )


def chat_chunks(completion: bytes, include_usage: bool) -> Iterator[bytes]:
    """A chat completion as the server-sent events of a stream."""
    whole: dict[str, Any] = orjson.loads(completion)
    (choice,) = whole["choices"]

    def delta(content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        return {"index": 0, "delta": content, "finish_reason": finish_reason, "logprobs": None}

    chunks = [
        delta({"role": "assistant", "content": ""}, None),
        delta({"content": choice["message"]["content"]}, None),
        delta({}, choice["finish_reason"]),
    ]
    return _stream({**whole, "object": "chat.completion.chunk"}, chunks, include_usage)


def text_chunks(completion: bytes, include_usage: bool) -> Iterator[bytes]:
    """A text completion as the server-sent events of a stream."""
    whole: dict[str, Any] = orjson.loads(completion)
    return _stream(whole, whole["choices"], include_usage)


def _stream(
    whole: dict[str, Any], choices: list[dict[str, Any]], include_usage: bool
) -> Iterator[bytes]:
    common = {name: value for name, value in whole.items() if name not in ("choices", "usage")}
    if include_usage:
        common["usage"] = None
    for choice in choices:
        yield b"data: " + orjson.dumps({**common, "choices": [choice]}) + b"\n\n"
    if include_usage:
        last = {**common, "choices": [], "usage": whole["usage"]}
        yield b"data: " + orjson.dumps(last) + b"\n\n"
    yield b"data: [DONE]\n\n"


def summaries(result: SummaryResult) -> bytes:
    """The contract's fields of each text, and their sums.

    ``cached_tokens`` are those of the ``input_tokens`` that the cache answered for.
    """
    rows = [
        {**asdict(each), "cached_tokens": cached}
        for each, cached in zip(result.summaries, result.cached_tokens, strict=True)
    ]
    sums = (
        *("input_tokens", "cached_tokens", "output_tokens", "total_tokens"),
        "truncated_tokens",
    )
    return orjson.dumps(
        {
            "id": result.request_id,
            "model": result.version.model,
            "model_version": str(result.version.number),
            "tokenizer_fingerprint": result.version.metering.tokenizer_fingerprint,
            "contract_version": result.version.metering.contract_version,
            "summaries": rows,
            "usage": {name: sum(row[name] for row in rows) for name in sums},
        }
    )


def quota_headers(quota: Quota) -> dict[str, str]:
    """OpenAI's headers, for the limits that there are; and of their kind, those of a key's
    budget of the month."""
    headers = {}
    if (budget := quota.key_budget) is not None:
        headers["x-ratelimit-limit-key-budget-micro"] = str(budget.limit_micro)
        headers["x-ratelimit-remaining-key-budget-micro"] = str(budget.remaining_micro)
        headers["x-ratelimit-reset-key-budget"] = f"{budget.reset_s}s"
    for of, limit, remaining, reset_s in (
        ("requests", quota.requests_limit, quota.requests_remaining, quota.requests_reset_s),
        ("tokens", quota.tokens_limit, quota.tokens_remaining, quota.tokens_reset_s),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{of}"] = str(limit)
            headers[f"x-ratelimit-remaining-{of}"] = str(remaining)
            headers[f"x-ratelimit-reset-{of}"] = f"{reset_s}s"
    return headers


def response_headers(response: SummaryResponse) -> dict[str, str]:
    """The headers of an answer, in any API's shape."""
    headers = quota_headers(response.quota)
    headers[TRUNCATED] = str(truncated_tokens(orjson.loads(response.body)["usage"]))
    if response.replayed:
        headers[REPLAYED] = "true"
    if response.redelivered:
        headers[REDELIVERED] = "true"
    return headers


def truncated_tokens(usage: dict[str, Any]) -> int:
    """Tokens that were cut off, by the usage of an answer; 0 for one that was rendered before
    usages had them."""
    for details in ("prompt_tokens_details", "input_tokens_details"):
        if details in usage:
            return int(usage[details].get("truncated_tokens", 0))
    return int(usage.get("truncated_tokens", 0))
