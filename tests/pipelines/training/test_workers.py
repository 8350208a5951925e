"""Two worker processes on one machine: the same training as one, and one that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.models.architecture import Architecture
from pipelines.training.checkpoints import read_history
from pipelines.training.cluster import TF_CONFIG, Cluster
from pipelines.training.job import TrainingJob
from pipelines.training.loop import train
from pipelines.training.settings import TrainingSettings, TrainingSettingsError
from pipelines.training.workers import WorkerLostError, run_workers
from serving.engines.base import HeldPorts
from tests.pipelines.training.training_runs import (
    MODEL,
    RUN,
    TRAINING,
    TransformedCorpus,
    arguments,
)
from tests.support.waiting import wait_until
from tokenizer.loading import load_tokenizer


@pytest.mark.long
def test_two_workers_train_as_one_does(corpus: TransformedCorpus, tmp_path: Path) -> None:
    """Each computes a half of every batch; losses and weights are those of whole batches."""

    def halve(model: keras.Model) -> None:
        model.set_weights([weight / 2 for weight in model.get_weights()])

    def trained(workers: int) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
        job = training_job(corpus, tmp_path / str(workers), workers)
        trained_model = train(job, load_weights=halve)
        assert trained_model is not None
        model, _ = trained_model
        return read_history(job.run_dir / "history.jsonl", 16), model.get_weights()

    (expected, expected_weights), (found, found_weights) = trained(1), trained(2)

    assert [row["step"] for row in found] == [4, 8, 12, 16]
    for row, same in zip(found, expected, strict=True):
        for name in ("step", "examples", "train_loss", "val_loss"):
            assert row[name] == pytest.approx(same[name], rel=1e-4), name
    for weight, other in zip(found_weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-3, atol=1e-3)


def training_job(corpus: TransformedCorpus, root: Path, workers: int) -> TrainingJob:
    tokenizer = load_tokenizer(corpus.tokenizer_dir)
    return TrainingJob(
        Architecture.from_config(
            MODEL,
            vocabulary_size=tokenizer.vocabulary_size,
            pad_id=tokenizer.pad_id,
            eos_id=tokenizer.eos_id,
            prefix_ids=(),
        ),
        TrainingSettings.from_config(
            TRAINING
            | {"steps": 16, "eval_every_steps": 4, "average_decay": 0.9, "workers": workers}
        ),
        tuple(corpus.train_files),
        tuple(corpus.eval_files),
        root / "state",
        root / "run",
    )


@pytest.mark.long
def test_a_worker_that_dies_ends_the_others_with_a_clear_error(
    corpus: TransformedCorpus, tmp_path: Path
) -> None:
    """As on a platform: each worker is a process with its own TF_CONFIG, and one is killed."""
    training = {"steps": 1_000_000, "workers": 2}
    args = arguments(corpus, tmp_path, "1", training=training)
    ports = HeldPorts(2)  # as run_workers holds them
    chief, other = (
        subprocess.Popen(
            [sys.executable, "-c", RUN, json.dumps(vars(args))],
            env={**os.environ, TF_CONFIG: cluster.config},
            stderr=subprocess.PIPE,
            text=True,
        )
        for cluster in Cluster.on_this_machine(ports.numbers)
    )
    try:
        first = Path(args.model_run_dir) / "history.jsonl"
        wait_until(
            lambda: first.exists() and first.read_text(),
            "a validation",
            lambda: next((each.poll() for each in (chief, other) if each.poll()), None),
        )
        other.kill()  # and with it ends the worker that it has started
        _, errors = chief.communicate(timeout=300)
    finally:
        ports.close()
        for each in (chief, other):
            each.kill()
            each.wait()
            assert each.stderr is not None
            each.stderr.close()
    assert chief.returncode == 1, errors
    assert "another worker of 127.0.0.1:" in errors, errors
    assert "training continues from its last checkpoint" in errors
    assert not Path(args.serving_model_dir).exists()


@pytest.mark.long
def test_a_worker_that_cannot_start_is_named_with_its_last_words() -> None:
    with pytest.raises(WorkerLostError, match=r"(?s)worker \d of 2 .* status 1 .*KeyError"):
        run_workers("pipelines.training.worker_process", {}, None, 2)


def test_a_batch_must_be_shared_evenly() -> None:
    with pytest.raises(TrainingSettingsError, match="batch_size = 16, workers = 3"):
        TrainingSettings.from_config({"workers": 3, "batch_size": 16})
