"""Training that stops when validations no longer gain, interrupted or not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pipelines.training.loop import train
from pipelines.training.standing import LOGGER
from tests.pipelines.training.tiny_training import interrupted_at, rows_of, tiny_job

STEPS = 400
PATIENT: dict[str, Any] = {"steps": STEPS, "eval_every_steps": 4, "patience": 3}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """History of a training that was not interrupted."""
    job = tiny_job(tmp_path_factory.mktemp("unbroken"), **PATIENT)
    train(job)
    return rows_of(job)


@pytest.mark.long
def test_it_stops_after_so_many_validations_without_gain(
    unbroken: list[dict[str, Any]],
) -> None:
    losses = [row["val_loss"] for row in unbroken]
    best = losses.index(min(losses))
    assert unbroken[-1]["step"] == unbroken[best]["step"] + 3 * 4 < STEPS
    # Nowhere before were there three in a row.
    for i in range(best):
        assert min(losses[i + 1 : i + 4]) < min(losses[: i + 1])


@pytest.mark.long
def test_an_interrupted_training_stops_at_the_same_step(
    unbroken: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Interrupted while it counts, and once more when it has stopped and not exported."""
    job = tiny_job(tmp_path, **PATIENT)
    with interrupted_at("validation loss", len(unbroken) - 1):
        train(job)
    with interrupted_at("training stops", 1):
        train(job)
    with caplog.at_level(logging.INFO, LOGGER.name):
        trained = train(job)

    assert trained is not None
    keys = ("step", "examples", "train_loss", "val_loss")
    assert [[row[k] for k in keys] for row in rows_of(job)] == [
        [pytest.approx(row[k], rel=1e-3) for k in keys] for row in unbroken
    ]
    best = min(unbroken, key=lambda row: row["val_loss"])
    said = caplog.messages[-1]
    assert said.startswith(f"training stops after step {unbroken[-1]['step']} of {STEPS}:")
    assert f"since step {best['step']} had a loss below {best['val_loss']:.3f}" in said
    assert "training.patience = 3" in said
    assert trained[1].best_step == best["step"]


@pytest.mark.long
def test_two_workers_stop_at_the_same_step(
    unbroken: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The chief alone validates, and the other one must not wait for it."""
    job = tiny_job(tmp_path, **PATIENT, workers=2, accumulate_gradients=2)
    train(job)
    assert [row["step"] for row in rows_of(job)] == [row["step"] for row in unbroken]
