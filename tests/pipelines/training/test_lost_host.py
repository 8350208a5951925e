"""A host that is cut off: no connection is closed, and no process ends by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.hosts import refusal, two_hosts
from tests.pipelines.training.training_runs import RUN, TransformedCorpus, arguments
from tests.support.waiting import wait_until

NAMES: Final = ("first.example", "second.example")


@pytest.mark.long
def test_workers_that_cannot_reach_each_other_end_with_a_clear_error(
    corpus: TransformedCorpus, tmp_path: Path
) -> None:
    if reason := refusal():
        pytest.skip(f"no two hosts here: {reason}")
    with two_hosts(tmp_path, NAMES) as hosts:
        training = {"steps": 1_000_000, "workers": 2}
        args = arguments(corpus, tmp_path / "shared", "1", training=training)
        workers = [f"{name}:2222" for name in NAMES]
        started = []
        for index, host in enumerate(hosts):
            config = {
                "cluster": {"worker": workers},
                "task": {"type": "worker", "index": index},
            }
            started.append(
                host.start(
                    [sys.executable, "-c", RUN, json.dumps(vars(args))],
                    {"TF_CONFIG": json.dumps(config)},
                    tmp_path / f"{index}.log",
                )
            )
        chief, other = started
        try:
            first = Path(args.model_run_dir) / "history.jsonl"
            wait_until(
                lambda: first.exists() and first.read_text(),
                "a validation",
                lambda: next((each.status() for each in started if each.status()), None),
            )
            assert hosts[1].shell("ip link set eth0 down").returncode == 0
            wait_until(lambda: chief.status() is not None, "the end of the chief")
            wait_until(lambda: other.status() is not None, "the end of the other")
        finally:
            for each in started:
                if each.status() is None:
                    each.kill()
    for worker in started:
        assert worker.status() == 1, worker.printed
        assert "WorkerLostError" in worker.printed
        assert "training continues from its last checkpoint" in " ".join(worker.printed.split())
