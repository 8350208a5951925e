"""A gateway is started twice by mistake: the second ends, and the first notices nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.ledger.verification import verify
from tests.serving.gateway.gated_proxy import GatedProxy
from tests.support.command_gateway import command_gateway


def test_a_second_start_takes_nothing_from_the_first(
    tmp_path: Path, metered_models: Path, gate: GatedProxy
) -> None:
    """Of the same name, on the same port, while the first one's request is under way."""
    names = ("--name", "gateway-0", "--lease-s", "6")
    with (
        command_gateway(tmp_path, metered_models, [gate.url], *names) as running,
        running.client(running.key()) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        body = {"model": "summarizer", "text": "one two three"}
        gate.shut()
        answering = pool.submit(client.post, "/v1/summaries", json=body)
        gate.wait_for_questions(1)
        first = running.process.process
        running.process.start()
        assert running.process.wait() == 3
        running.process.process = first
        gate.open()
        assert answering.result().status_code == 200
        assert client.post("/v1/summaries", json=body).status_code == 200
        assert verify(running.engine) == (2, [])
    assert "Released reservations" not in running.process.log_file.read_text("utf-8")
