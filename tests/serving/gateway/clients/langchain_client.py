"""LangChain against a gateway; `test_official_clients.py` runs it.

Its arguments are texts. It prints a JSON list: of each answer the way it was asked for, the
text that was sent and the one that came, and the tokens read and written as the client has them
(null where it has none). Address and key: ``OPENAI_API_BASE`` and ``OPENAI_API_KEY``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import (  # type: ignore[import-not-found]
    AIMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_openai import ChatOpenAI, OpenAI  # type: ignore[import-not-found]

MODEL = "summarizer"


def counted(message: Any) -> tuple[str, int | None, int | None]:
    """Text and tokens of a message, or of the sum of a stream's chunks."""
    used = message.usage_metadata or {}
    return str(message.text), used.get("input_tokens"), used.get("output_tokens")


def completed(result: Any) -> tuple[str, int | None, int | None]:
    """Text and tokens of a completion."""
    used = result.llm_output["token_usage"]
    return result.generations[0][0].text, used["prompt_tokens"], used["completion_tokens"]


async def one_by_one(texts: Sequence[str]) -> list[Any]:
    """The answers of the asynchronous client; on one loop, which its connections belong to."""
    chat = ChatOpenAI(model=MODEL)
    return [await chat.ainvoke(text) for text in texts]


def answers(text: str) -> Iterator[tuple[str, tuple[str, int | None, int | None]]]:
    """Ask for the summary of a text in each way."""
    chat = ChatOpenAI(model=MODEL)
    telling = ChatOpenAI(model=MODEL, stream_usage=True)
    responses = ChatOpenAI(model=MODEL, use_responses_api=True)
    talk = [
        SystemMessage("Be brief."),
        HumanMessage("A b"),
        AIMessage("A B"),
        HumanMessage(text),
    ]
    yield "chat", counted(chat.invoke(text))
    yield "chat, of a talk", counted(chat.invoke(talk))
    yield "chat, streamed", counted(reduce(add, chat.stream(text)))
    yield "chat, streamed with usage", counted(reduce(add, telling.stream(text)))
    yield "responses", counted(responses.invoke(text))
    yield "responses, of a talk", counted(responses.invoke(talk))
    yield "responses, streamed", counted(reduce(add, responses.stream(text)))
    yield "completion", completed(OpenAI(model=MODEL).generate([text]))


def row(way: str, sent: str, answer: tuple[str, int | None, int | None]) -> dict[str, object]:
    """What is printed of an answer."""
    text, read, written = answer
    return {"way": way, "sent": sent, "text": text, "input": read, "output": written}


def main() -> None:
    """Ask, and print."""
    texts = sys.argv[1:]
    rows = [row(way, sent, answer) for sent in texts for way, answer in answers(sent)]
    for sent, message in zip(texts, asyncio.run(one_by_one(texts)), strict=True):
        rows.append(row("chat, asynchronous", sent, counted(message)))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
