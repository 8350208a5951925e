"""The stub model server's responses, which have the right format but come from no model.

A text's tokens are its words, the summary its first ones. In TensorFlow Serving's REST API, as
Tallygraph's gateway asks, and in OpenAI's chat completions, as LiteLLM does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

MODEL: Final = "stub"
VERSION: Final = 1
SUMMARY_WORDS: Final = 12
MAX_INPUT_TOKENS: Final = 512

STATUS: Final = orjson.dumps(
    {
        "model_version_status": [
            {
                "version": str(VERSION),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
)
METADATA: Final = orjson.dumps(
    {
        "model_spec": {"name": MODEL, "signature_name": "", "version": str(VERSION)},
        "metadata": {"signature_def": {"signature_def": {}}},
    }
)


def predict(body: bytes) -> bytes:
    """Of ``:predict`` in column format."""
    texts = orjson.loads(body)["inputs"]["text"]
    words = [text.split() for text in texts]
    read = [len(each) for each in words]
    written = [min(count, SUMMARY_WORDS) for count in read]
    return orjson.dumps(
        {
            "outputs": {
                "summary": [" ".join(each[:SUMMARY_WORDS]) for each in words],
                "input_tokens": read,
                "output_tokens": written,
                "total_tokens": [one + other for one, other in zip(read, written, strict=True)],
                "truncated_tokens": [0] * len(read),
                "finish_reason": ["stop"] * len(read),
            }
        }
    )


def chat(body: bytes) -> bytes:
    """Of ``/v1/chat/completions``."""
    asked: dict[str, Any] = orjson.loads(body)
    words = asked["messages"][-1]["content"].split()
    read, written = len(words), min(len(words), SUMMARY_WORDS)
    message = {"role": "assistant", "content": " ".join(words[:SUMMARY_WORDS])}
    return orjson.dumps(
        {
            "id": "chatcmpl-stub",
            "object": "chat.completion",
            "created": 1764037200,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
            },
        }
    )


Route = Callable[[bytes], bytes]
ROUTES: Final[dict[bytes, Route]] = {
    f"/v1/models/{MODEL}/versions/{VERSION}:predict".encode(): predict,
    b"/v1/chat/completions": chat,
}
MODEL_PATH: Final = f"/v1/models/{MODEL}".encode()
# What is asked with ``GET``, and never takes its time.
DESCRIPTIONS: Final[dict[bytes, bytes]] = {
    MODEL_PATH: STATUS,
    MODEL_PATH + b"/metadata": METADATA,
}
