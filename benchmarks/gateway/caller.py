"""The clients, as a worker: a separate process that calls a stub or a gateway."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks.gateway.stub_answers import MODEL, VERSION
from benchmarks.serve.closed_loop import Load, run_tasks, steady
from benchmarks.serve.http_connection import HttpConnection
from benchmarks.worker_loop import serve

_TIMEOUT_S = 60.0
CHAT, PREDICT = "chat", "predict"
_PATHS = {
    CHAT: "/v1/chat/completions",
    PREDICT: f"/v1/models/{MODEL}/versions/{VERSION}:predict",
}


def texts(count: int = 200, seed: int = 20261125) -> list[str]:
    """Return documents of 20 to 200 words, the same each time."""
    dice = random.Random(seed)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(2000)]
    return [" ".join(dice.choices(words, k=dice.randint(20, 200))) for _ in range(count)]


@dataclass(frozen=True)
class Target:
    """The server to call.

    Attributes:
      port: on this machine.
      api: ``chat`` or ``predict``.
      key: sent as a bearer token; empty for none.
    """

    port: int
    api: str
    key: str = ""


class Client:
    """One client, with a connection of its own, kept open."""

    def __init__(self, target: Target) -> None:
        headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        self._http = HttpConnection("127.0.0.1", target.port, headers)
        self._api = target.api

    async def ask(self, batch: Sequence[str]) -> list[Any]:
        """Summary, tokens read, tokens written."""
        (text,) = batch
        async with asyncio.timeout(_TIMEOUT_S):
            answer = orjson.loads(await self._http.post(_PATHS[self._api], self._body(text)))
        if self._api == CHAT:
            used = answer["usage"]
            content = answer["choices"][0]["message"]["content"]
            return [content, used["prompt_tokens"], used["completion_tokens"]]
        outputs = answer["outputs"]
        return [outputs[name][0] for name in ("summary", "input_tokens", "output_tokens")]

    def _body(self, text: str) -> bytes:
        if self._api == CHAT:
            message = {"role": "user", "content": text}
            return orjson.dumps({"model": MODEL, "messages": [message]})
        inputs = {"text": [text], "max_output_tokens": [0]}
        return orjson.dumps({"signature_name": "summarize", "inputs": inputs})

    async def close(self) -> None:
        await self._http.close()


async def ask(target: Target, load: Load, documents: Sequence[str]) -> dict[str, Any]:
    """A turn."""
    clients = [Client(target) for _ in range(load.clients)]
    # All have connected before the turn begins.
    firsts = await asyncio.gather(*(each.ask(documents[:1]) for each in clients))
    before = time.process_time()
    spans = await run_tasks([each.ask for each in clients], load, documents)
    processor_s = time.process_time() - before
    for each in clients:
        await each.close()
    rate, seconds = steady(spans, load.clients)
    return {
        "rate": rate,
        "seconds": seconds,
        "asked": len(spans) + len(firsts),
        "processor": processor_s / len(spans),
        "answer": firsts[0],
    }


def prepare() -> tuple[dict[str, Any], Any]:
    documents = texts()
    runner = asyncio.Runner()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        target, load = Target(**request["target"]), Load(**request["load"])
        return runner.run(ask(target, load, documents))

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
