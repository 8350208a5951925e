"""Clients that load a gateway, one request after another, and keep what they are told."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.support.running_gateway import DEADLINE_S


@dataclass(frozen=True)
class Failed:
    """A request without an answer; times are of ``time.monotonic()``."""

    began_at: float
    ended_at: float
    status: int
    code: str


@dataclass
class LoadingClient(threading.Thread):
    """Asks one thing after another, each once, and keeps what it is told."""

    url: str
    key: str
    over: threading.Event
    answered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failed: list[Failed] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    # A thread is known by what it is, not by what it holds.
    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(headers=headers, timeout=DEADLINE_S, trust_env=False) as http:
            while not self.over.is_set():
                began_at = time.monotonic()
                text = " ".join(["word"] * (1 + self.answered % 10))
                body = {"model": "summarizer", "text": text}
                answer = http.post(f"{self.url}/v1/summaries", json=body)
                if answer.status_code == 200:
                    usage = answer.json()["usage"]
                    self.answered += 1
                    self.input_tokens += usage["input_tokens"]
                    self.output_tokens += usage["output_tokens"]
                else:
                    code = answer.json()["error"]["code"]
                    self.failed.append(
                        Failed(began_at, time.monotonic(), answer.status_code, code)
                    )
