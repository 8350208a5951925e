"""A model server that logs, a gateway in front of it, and `bill reconcile`."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from typer.testing import CliRunner

from pipelines.cli import app
from serving.engines import RunningServer, ServerSpec
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.fresh_ledger import sqlite_ledger
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PRICES = """
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2020-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 1500
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
free_input_tokens = 10
output_tiers = [{ above_tokens = 20, price_micro_per_1k_tokens = 5000 }]
"""


@dataclass(frozen=True)
class Shop:
    """A model server, a gateway in front of it, and a ledger behind."""

    folder: Path
    server: RunningServer
    gateway: CommandGateway
    http: httpx.Client

    def tallygraph(self, *arguments: str, code: int = 0) -> str:
        """What a command prints."""
        environment = {"TALLYGRAPH_DATABASE": self.gateway.database, "COLUMNS": "300"}
        result = CliRunner(env=environment).invoke(app, arguments)
        assert result.exit_code == code, f"{arguments}: {result.output}"
        return result.output if code else result.stdout

    def ask(self, *texts: str, **more: object) -> dict[str, Any]:
        headers = {"Idempotency-Key": str(more.pop("key"))} if "key" in more else {}
        body = {"model": "summarizer", "text": list(texts), **more}
        answer = self.http.post("/v1/summaries", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def page(self) -> str:
        url = f"{self.server.rest_url}/monitoring/prometheus/metrics"
        path = self.folder / f"page-{time.monotonic_ns()}"
        path.write_text(httpx.get(url, trust_env=False, timeout=120).text)
        return str(path)

    def reconcile(self, log: Path, since: str, *more: str, code: int = 0) -> str:
        arguments = ("--log", str(log), "--since", since, *more)
        return self.tallygraph("bill", "reconcile", *arguments, code=code)

    def reconcile_in_a_process(self, log: Path, since: str, *more: str) -> str:
        arguments = ("--log", str(log), "--since", since, *more)
        command = "from pipelines.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", command, "bill", "reconcile", *arguments],
            env={**os.environ, "TALLYGRAPH_DATABASE": self.gateway.database},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
        return ran.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    from tests.support.metered_model import export_metered_version

    models = tmp_path / "summarizer"
    export_metered_version(models / "7")
    (tmp_path / "logs").mkdir()
    (tmp_path / "models.config").write_text(
        f"""model_config_list {{ config {{
        name: "summarizer" base_path: "{models}" model_platform: "tensorflow"
        logging_config {{
          log_collector_config {{
            type: "tfrecord" filename_prefix: "{tmp_path}/logs/requests"
          }}
          sampling_config {{ sampling_rate: 1.0 }}
        }} }} }}"""
    )
    (tmp_path / "monitoring.config").write_text(
        'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }'
    )
    flags = {"monitoring_config_file": str(tmp_path / "monitoring.config")}
    spec = ServerSpec.from_config(("summarizer",), tmp_path / "models.config", flags)
    with WarmEngine().start(spec) as server:
        server.wait_until_available(120)
        with (
            command_gateway(tmp_path, models, [server.rest_url], prices=PRICES) as gateway,
            gateway.client(gateway.key()) as http,
        ):
            yield Shop(tmp_path, server, gateway, http)


def logged(folder: Path, count: int) -> list[prediction_log_pb2.PredictionLog]:
    """The server's log, once it has so many records."""
    wait_until(lambda: len(records(folder)) >= count, f"{count} records")
    return records(folder)


def records(folder: Path) -> list[prediction_log_pb2.PredictionLog]:
    logs = []
    for path in sorted((folder / "logs").glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            logs.append(prediction_log_pb2.PredictionLog.FromString(record))
    return logs


def written(folder: Path, name: str, logs: list[prediction_log_pb2.PredictionLog]) -> Path:
    path = folder / f"{name}.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return path


def test_a_clean_run_has_no_drift_and_each_kind_of_drift_is_named(shop: Shop) -> None:
    since = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    before = shop.page()
    for number in range(6):
        shop.ask(f"text number {number} of some words", key=number)
        shop.ask(f"text number {number} of some words", key=number)  # the same answer again
    shop.ask("a b c d e f g h i j k", "b", "é 😀", max_output_tokens=2)
    shop.ask("once more")
    shop.ask("once more")
    counting = {"model": "summarizer", "text": "a b"}
    shop.http.post("/v1/count_tokens", json=counting).raise_for_status()
    logs = logged(shop.folder, 10)
    assert len(logs) == 10
    after = shop.page()
    log = shop.folder / "logs" / "*"
    counters = ("--before", before, "--after", after)
    until = ("--until", datetime.datetime.now(datetime.UTC).isoformat())
    clean = shop.reconcile_in_a_process(log, since, *counters, *until)
    assert clean.splitlines() == [
        "summarizer: 9 charges for requests that a server computed",
        "summarizer: 9 records",
        "summarizer: 1 records of requests that are not billed",
        "no drift",
    ]
    # What was charged can be derived again, tiers and all, and the invoice adds it up.
    assert "9 entries priced again, 0 findings" in shop.tallygraph(
        "bill", "audit", "--prices", str(shop.folder / "prices.toml")
    )
    assert "9 entries checked, 0 findings" in shop.tallygraph("ledger", "verify")
    month = since[:7]
    invoice = json.loads(shop.tallygraph("bill", "invoice", "acme", month))
    assert {(line["meter"], line["tier"]) for line in invoice["lines"]} == {
        *(("input", 0), ("input", 1), ("output", 1), ("output", 2))
    }

    # A record that is missing, one that says something else, and one that nobody asked for.
    summaries = [log for log in logs if log.predict_log.request.model_spec.signature_name
                 == "summarize"]  # fmt: skip
    less = written(shop.folder, "less", logs[:2] + logs[3:])
    found = shop.reconcile(less, since, code=1)
    assert "billed, not answered: " in found
    assert "entry 3, request " in found
    assert "drift: 1 findings" in found
    changed = prediction_log_pb2.PredictionLog.FromString(summaries[0].SerializeToString())
    outputs = changed.predict_log.response.outputs
    outputs["output_tokens"].CopyFrom(tf.make_tensor_proto([99], tf.int32))
    other = written(shop.folder, "other", [changed, *logs[1:]])
    found = shop.reconcile(other, since, code=1)
    assert "counts differ: " in found
    assert "entry 1, request " in found
    assert "99 output tokens (length), other.tfrecord, record 1" in found
    assert "drift: 1 findings" in found

    # Past the gateway: the server counts and logs it, and the ledger knows nothing of it.
    answer = httpx.post(
        f"{shop.server.rest_url}/v1/models/summarizer:predict",
        json={"instances": ["a secret of somebody's"]},
        trust_env=False,
        timeout=120,
    )
    answer.raise_for_status()
    logged(shop.folder, 11)
    findings = shop.folder / "findings.jsonl"
    found = shop.reconcile(
        log, since, "--before", before, "--after", shop.page(), "--findings", str(findings),
        code=1,
    )  # fmt: skip
    assert "answered, not billed: " in found
    assert ", record 11: 4 input and 4 output tokens (stop)" in found
    assert "1 were answered but not billed" in found
    assert "secret" not in found
    (line,) = findings.read_text().splitlines()
    assert json.loads(line)["kind"] == "answered, not billed"


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    database = sqlite_ledger(tmp_path)

    def reconcile(*arguments: str) -> tuple[int, str]:
        command = ["bill", "reconcile", "--database", database, *arguments]
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, command)
        return result.exit_code, result.output

    for arguments, message in (
        (("--since", "2026-11-25"), "There is nothing to compare the ledger with"),
        (
            ("--since", "yesterday", "--log", "x"),
            "A time is expected in the form 2026-11-25T12:00:00",
        ),
        (("--since", "2026-11-25", "--until", "2026-11-24", "--log", "x"), "must end after"),
        (
            ("--since", "2026-11-25", "--before", "a", "--after", "b"),
            "Cannot read the counters",
        ),
        (
            ("--since", "2026-11-25", "--log", "x", "--not-billed", "3"),
            "such as summarizer=12",
        ),
    ):
        status, said = reconcile(*arguments)
        assert (status, message in said) == (2, True), said
    nothing = ("--since", "2026-11-25", "--log", str(tmp_path / "nothing-*"))
    status, said = reconcile(*nothing)
    assert (status, "nothing-* matches no file." in said) == (1, True), said
    assert "Traceback" not in said
