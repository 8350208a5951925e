"""Counts that the model cannot have made, by its own record: refused, and not charged."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.ledger.database import open_database
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.rate_time import RateTime
from tests.support.running_gateway import gateway_on
from tokenizer.contract import METERING_FILE


def with_record(metered_models: Path, folder: Path, **limits: int) -> Path:
    """The folder of versions, whose record says less than what its server serves."""
    models = folder / "models"
    shutil.copytree(metered_models, models)
    (version,) = models.iterdir()
    record = json.loads((version / METERING_FILE).read_text())
    (version / METERING_FILE).write_text(json.dumps({**record, **limits}))
    return models


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_input_tokens": 2}, "counted 3 input_tokens. Expected: at most 2"),
        ({"max_output_tokens": 1}, "counted 3 output_tokens. Expected: at most 1"),
    ],
)
def test_counts_above_the_record_are_refused_and_logged(
    tmp_path: Path,
    metered_models: Path,
    model_server: RunningServer,
    caplog: pytest.LogCaptureFixture,
    limits: dict[str, int],
    said: str,
) -> None:
    models = with_record(metered_models, tmp_path, **limits)
    engine = open_database(sqlite_ledger(tmp_path))
    body = {"model": "summarizer", "text": "one two three"}
    with (
        caplog.at_level(logging.ERROR),
        gateway_on(engine, tmp_path, models, [model_server.rest_url]) as running,
        running.client(running.key()) as client,
    ):
        answer = client.post("/v1/summaries", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_answer")
        running.wait_for_states({"released": 1})
        assert (running.entries(), running.reserved_micro()) == ([], 0)
        counted = client.post("/v1/count_tokens", json=body)
        assert counted.status_code == (502 if "max_input_tokens" in limits else 200)
    assert f"summarizer-7 {said}" in caplog.text
    engine.dispose()


def test_a_tenant_that_reads_too_often_waits(
    engine: sa.Engine,
    tmp_path: Path,
    metered_models: Path,
    model_server: RunningServer,
    rate_time: RateTime,
) -> None:
    """And no other one does, and no request that is charged."""
    body = {"model": "summarizer", "text": "one two three"}
    with (
        gateway_on(
            engine, tmp_path, metered_models, [model_server.rest_url], reads_per_minute=3
        ) as running,
        running.client(running.key("often")) as often,
        running.client(running.key("seldom")) as seldom,
    ):
        statuses = [
            often.get("/v1/usage").status_code,
            often.post("/v1/count_tokens", json=body).status_code,
            often.get("/v1/usage").status_code,
            often.post("/v1/count_tokens", json=body).status_code,
        ]
        refused = often.get("/v1/usage")
        assert statuses == [200, 200, 200, 429]
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) <= 61
        assert often.post("/v1/summaries", json=body).status_code == 200
        assert seldom.get("/v1/usage").status_code == 200
        rate_time.pass_minute()
        assert often.get("/v1/usage").status_code == 200
