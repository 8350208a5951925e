"""The way of one request through the code: short enough to be read."""

from __future__ import annotations

import threading
from pathlib import Path
from types import FrameType

import sqlalchemy as sa

from serving.engines import RunningServer
from tests.support.running_gateway import gateway_on

ROOT = Path(__file__).parents[3]
OURS = ("serving", "tokenizer")
MOST_MODULES = 23
"""Of the gateway, without its cache; the ledger and the price book have their own."""


def test_few_modules_are_on_its_way(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    """Those whose functions run between the bytes that come and the bytes that leave."""
    seen: set[str] = set()
    watching = threading.Event()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and watching.is_set():
            seen.add(frame.f_code.co_filename)

    body = {"model": "summarizer", "text": "one two three"}
    threading.setprofile(profile)  # of threads that begin from now on
    try:
        with (
            gateway_on(
                engine,
                tmp_path,
                metered_models,
                [model_server.rest_url],
                poll_every_s=3600,
            ) as running,
            running.client(running.key()) as client,
        ):
            assert client.post("/v1/summaries", json=body).status_code == 200
            watching.set()
            assert client.post("/v1/summaries", json=body).status_code == 200
            watching.clear()
    finally:
        threading.setprofile(None)
    ours = {
        Path(each).relative_to(ROOT)
        for each in seen
        if Path(each).is_relative_to(ROOT) and Path(each).relative_to(ROOT).parts[0] in OURS
    }
    # The process's own loop runs beside each request.
    ours.discard(Path("serving/gateway/servers.py"))
    gateway = sorted(str(each) for each in ours if each.parts[:2] == ("serving", "gateway"))
    others = sorted(str(each) for each in ours if each.parts[:2] != ("serving", "gateway"))
    print("\n".join((*gateway, "", *others)))
    assert "serving/gateway/service.py" in gateway
    assert len(gateway) <= MOST_MODULES
