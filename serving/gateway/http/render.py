"""Renders the bodies of responses, in OpenAI's shape and in the contract's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson

from serving.gateway.ports import SummaryResult


def chat_completion(result: SummaryResult) -> bytes:
    """``chat.completion`` of one summary."""
    (summary,), (cached_tokens,) = result.summaries, result.cached_tokens
    return orjson.dumps(
        {
            "id": f"chatcmpl-{result.request_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": result.version.model,
            "system_fingerprint": result.version.full_name,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": summary.summary,
                        "refusal": None,
                    },
                    "finish_reason": summary.finish_reason,
                    "logprobs": None,
                }
            ],
            "usage": {
                "prompt_tokens": summary.input_tokens,
                "completion_tokens": summary.output_tokens,
                "total_tokens": summary.total_tokens,
                "prompt_tokens_details": {"cached_tokens": cached_tokens},
            },
        }
    )


def chat_chunks(completion: bytes, include_usage: bool) -> Iterator[bytes]:
    """A completion as the server-sent events of a stream.

    A summary is written whole, so that it comes in one piece: it is charged before any of it
    leaves.
    """
    whole: dict[str, Any] = orjson.loads(completion)
    (choice,) = whole.pop("choices")
    usage = whole.pop("usage")
    common = {**whole, "object": "chat.completion.chunk"}
    if include_usage:
        common["usage"] = None

    def event(choices: list[dict[str, Any]], **changes: Any) -> bytes:
        return b"data: " + orjson.dumps({**common, "choices": choices, **changes}) + b"\n\n"

    def delta(content: dict[str, Any], finish_reason: str | None) -> list[dict[str, Any]]:
        return [
            {"index": 0, "delta": content, "finish_reason": finish_reason, "logprobs": None}
        ]

    yield event(delta({"role": "assistant", "content": ""}, None))
    yield event(delta({"content": choice["message"]["content"]}, None))
    yield event(delta({}, choice["finish_reason"]))
    if include_usage:
        yield event([], usage=usage)
    yield b"data: [DONE]\n\n"


def summaries(result: SummaryResult) -> bytes:
    """The contract's fields of each text, and what they add up to.

    ``cached_tokens`` are those of the ``input_tokens`` that the cache result for.
    """
    rows = [
        {**asdict(each), "cached_tokens": cached}
        for each, cached in zip(result.summaries, result.cached_tokens, strict=True)
    ]
    return orjson.dumps(
        {
            "id": result.request_id,
            "model": result.version.model,
            "model_version": str(result.version.number),
            "tokenizer_fingerprint": result.version.metering.tokenizer_fingerprint,
            "contract_version": result.version.metering.contract_version,
            "summaries": rows,
            "usage": {
                name: sum(row[name] for row in rows)
                for name in ("input_tokens", "cached_tokens", "output_tokens", "total_tokens")
            },
        }
    )
