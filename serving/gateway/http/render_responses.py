"""Renders ``/v1/responses``, whole or as the events of a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from serving.gateway.http.openai_schemas import ResponsesRequest
from serving.gateway.ports import SummaryResult


def response_of(request: ResponsesRequest, truncation: str) -> Callable[[SummaryResult], bytes]:
    """What renders the ``response`` of a request.

    Args:
      truncation: that holds for it: ``auto`` or ``disabled``.
    """

    def render(result: SummaryResult) -> bytes:
        (summary,), (cached_tokens,) = result.summaries, result.cached_tokens
        whole = summary.finish_reason == "stop"
        status = "completed" if whole else "incomplete"
        text = {
            "type": "output_text",
            "text": summary.summary,
            "annotations": [],
            "logprobs": [],
        }
        message = {
            "type": "message",
            "id": f"msg_{result.request_id}",
            "status": status,
            "role": "assistant",
            "content": [text],
        }
        return orjson.dumps(
            {
                "id": f"resp_{result.request_id}",
                "object": "response",
                "created_at": int(time.time()),
                "status": status,
                "error": None,
                "incomplete_details": None if whole else {"reason": "max_output_tokens"},
                "instructions": None,
                "max_output_tokens": request.max_output_tokens,
                "metadata": {},
                "model": result.version.model,
                "output": [message],
                "parallel_tool_calls": False,
                "previous_response_id": None,
                "store": False,
                "temperature": None,
                "text": {"format": {"type": "text"}},
                "tool_choice": "none",
                "tools": [],
                "top_p": None,
                "truncation": truncation,
                "usage": {
                    "input_tokens": summary.input_tokens,
                    "input_tokens_details": {
                        "cached_tokens": cached_tokens,
                        "truncated_tokens": summary.truncated_tokens,
                    },
                    "output_tokens": summary.output_tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": summary.total_tokens,
                },
            }
        )

    return render


def response_events(response: bytes) -> Iterator[bytes]:
    """A response as the server-sent events of a stream."""
    for number, event in enumerate(_events(orjson.loads(response))):
        data = orjson.dumps({**event, "sequence_number": number})
        yield b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n"


def _events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    (message,) = whole["output"]
    (part,) = message["content"]
    begun = {
        **whole,
        "status": "in_progress",
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    item = {"output_index": 0, "item_id": message["id"]}
    content = {**item, "content_index": 0}
    empty = {**message, "status": "in_progress", "content": []}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
    yield {"type": "response.content_part.added", **content, "part": {**part, "text": ""}}
    yield {
        "type": "response.output_text.delta",
        **content,
        "delta": part["text"],
        "logprobs": [],
    }
    yield {
        "type": "response.output_text.done",
        **content,
        "text": part["text"],
        "logprobs": [],
    }
    yield {"type": "response.content_part.done", **content, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": f"response.{whole['status']}", "response": whole}
