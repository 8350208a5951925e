"""LlamaIndex against a gateway; `test_official_clients.py` runs it.

Arguments and output: see `langchain_client.py`. Address and key: ``OPENAI_API_BASE`` and
``OPENAI_API_KEY``. ``OpenAI`` and ``OpenAIResponses`` know the names of OpenAI's models only,
and refuse others before they ask; those that are ``Like`` them are for other names.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from llama_index.core.llms import ChatMessage  # type: ignore[import-not-found]
from llama_index.llms.openai_like import (  # type: ignore[import-not-found]
    OpenAILike,
    OpenAILikeResponses,
)


def counted(text: str, raw: Any) -> tuple[str, int | None, int | None]:
    """A text, and the tokens of the response that it came in, or that its last event has."""
    used = getattr(getattr(raw, "response", raw), "usage", None)
    if used is None:
        return text, None, None
    if hasattr(used, "input_tokens"):
        return text, used.input_tokens, used.output_tokens
    return text, used.prompt_tokens, used.completion_tokens


def chatted(response: Any) -> tuple[str, int | None, int | None]:
    """Text and tokens of a chat's answer."""
    return counted(response.message.content, response.raw)


def completed(response: Any) -> tuple[str, int | None, int | None]:
    """Text and tokens of a completion."""
    return counted(response.text, response.raw)


def streamed(stream: Any) -> tuple[str, int | None, int | None]:
    """The text of a stream's deltas, and the tokens that its last event has.

    The last chunk has the whole text, too, but not where a response is ``incomplete``.
    """
    chunks = list(stream)
    return counted("".join(each.delta or "" for each in chunks), chunks[-1].raw)


def answers(text: str) -> Iterator[tuple[str, tuple[str, int | None, int | None]]]:
    """Ask for the summary of a text in each way."""
    given = {
        "model": "summarizer",
        "api_base": os.environ["OPENAI_API_BASE"],
        "api_key": os.environ["OPENAI_API_KEY"],
    }
    chat = OpenAILike(is_chat_model=True, **given)
    completion = OpenAILike(**given)
    responses = OpenAILikeResponses(**given)
    talk = [ChatMessage(role="system", content="Be brief."), ChatMessage(content=text)]
    yield "chat", chatted(chat.chat(talk))
    yield "chat, completed", completed(chat.complete(text))
    yield "chat, streamed", streamed(chat.stream_chat(talk))
    yield "responses", chatted(responses.chat(talk))
    yield "responses, completed", completed(responses.complete(text))
    yield "responses, streamed", streamed(responses.stream_chat(talk))
    yield "completion", completed(completion.complete(text))
    yield "completion, streamed", streamed(completion.stream_complete(text))


def main() -> None:
    """Ask, and print."""
    rows = []
    for sent in sys.argv[1:]:
        for way, (text, read, written) in answers(sent):
            rows.append(
                {"way": way, "sent": sent, "text": text, "input": read, "output": written}
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
