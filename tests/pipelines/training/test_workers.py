"""Two worker processes on one machine: the same training as one, and one that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_runs import RUN, arguments, history, weights

from pipelines.training.cluster import TF_CONFIG, Cluster
from pipelines.training.run import run_fn
from pipelines.training.settings import TrainingSettings, TrainingSettingsError
from pipelines.training.workers import WorkerLostError, run_workers


def test_two_workers_train_as_one_does(corpus, tmp_path):
    """Each computes a half of every batch; losses and weights are those of whole batches."""
    training = {"steps": 16, "eval_every_steps": 4, "average_decay": 0.9}
    one = arguments(corpus, tmp_path / "one", "1", training=training)
    run_fn(one)
    two = arguments(corpus, tmp_path / "two", "1", training=training | {"workers": 2})
    run_fn(two)

    for row, same in zip(history(two), history(one), strict=True):
        print(row["train_loss"], same["train_loss"], row["val_loss"], same["val_loss"])
    for row, same in zip(history(two), history(one), strict=True):
        for name in ("step", "examples", "train_loss", "val_loss"):
            assert row[name] == pytest.approx(same[name], rel=1e-4), name
    expected = weights(one)
    for name, value in weights(two).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_a_worker_that_dies_ends_the_others_with_a_clear_error(corpus, tmp_path):
    """As on a platform: each worker is a process with its own TF_CONFIG, and one is killed."""
    training = {"steps": 1_000_000, "workers": 2}
    args = arguments(corpus, tmp_path, "1", training=training)
    chief, other = (
        subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(vars(args))],
            env={**os.environ, TF_CONFIG: cluster.config},
            stderr=subprocess.PIPE,
            text=True,
        )
        for cluster in Cluster.on_this_machine(2)
    )
    try:
        first = Path(args.model_run_dir) / "history.jsonl"
        deadline = time.monotonic() + 120
        while not (first.exists() and first.read_text()):
            assert time.monotonic() < deadline, "no validation within 120 s"
            assert chief.poll() is None and other.poll() is None
            time.sleep(0.05)
        other.kill()  # and with it ends the worker that it has started
        _, errors = chief.communicate(timeout=60)
    finally:
        for each in (chief, other):
            each.kill()
            each.wait()
    assert chief.returncode == 1, errors
    assert "another worker of 127.0.0.1:" in errors, errors
    assert "training goes on from its last checkpoint" in errors
    assert not Path(args.serving_model_dir).exists()


def test_a_worker_that_cannot_start_is_named_with_its_last_words():
    with pytest.raises(WorkerLostError, match=r"(?s)worker \d of 2 .* status 1 .*KeyError"):
        run_workers("pipelines.training.worker_process", {}, None, 2)


def test_a_batch_must_be_shared_evenly():
    with pytest.raises(TrainingSettingsError, match="batch_size = 16, workers = 3"):
        TrainingSettings.from_config({"workers": 3, "batch_size": 16})
