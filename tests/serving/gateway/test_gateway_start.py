"""A gateway has looked at its model servers before anybody asks, and starts without them."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import sqlalchemy as sa

from tests.support.running_gateway import gateway_on


def test_a_server_that_says_nothing_is_looked_at_and_holds_up_no_start(
    engine: sa.Engine, tmp_path: Path, metered_models: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(120)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with gateway_on(engine, tmp_path, metered_models, [url]) as running:
            looked, _ = silent.accept()
            with looked:
                looked.settimeout(120)
                assert looked.recv(4096).startswith(b"GET /v1/models/summarizer ")
                # It has started, and waits for the server still.
                assert (
                    httpx.get(
                        f"{running.url}/healthz", trust_env=False, timeout=120
                    ).status_code
                    == 200
                )
