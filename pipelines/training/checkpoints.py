"""Checkpoints from which a killed training continues, and the best weights so far."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


def training_key(parts: Any, files: Iterable[str]) -> str:
    """Return a name that depends on everything that determines a training run.

    Args:
      parts: JSON-able settings: model, training, tokenizer, code.
      files: training and validation files; their bytes count, not their names, because another
        run of the pipeline may have stored the same examples elsewhere.
    """
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for file in files:
        with Path(file).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


class TrainingCheckpoints:
    """One run's state in ``<working_dir>/<key>``.

    ``latest/`` holds weights, optimizer and progress; ``best/`` the weights with the lowest
    validation loss. Each write is complete before the previous one is deleted.

    Attributes:
      directory: of the run.
      step: steps done when the state was saved.
      best_loss: lowest validation loss so far.
      without_gain: validations since then, in a row.
    """

    def __init__(
        self,
        directory: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        averages: Sequence[tf.Variable] = (),
    ) -> None:
        self.directory = directory
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        # As precise as the losses: one that is rounded up would be beaten by itself.
        self.best_loss = tf.Variable(float("inf"), dtype=tf.float64, trainable=False)
        self.without_gain = tf.Variable(0, dtype=tf.int64, trainable=False)
        weights = [variable.value for variable in model.variables]
        state = tf.train.Checkpoint(
            weights=weights,
            optimizer=[variable.value for variable in optimizer.variables],
            averages=list(averages),
            step=self.step,
            best_loss=self.best_loss,
            without_gain=self.without_gain,
        )
        self._latest = tf.train.CheckpointManager(state, str(directory / "latest"), 1)
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(weights=weights), str(directory / "best"), 1
        )

    def resume(self) -> int:
        """Restore the latest state, if there is one, and return the number of steps already
        done."""
        if path := self._latest.latest_checkpoint:
            self._latest.checkpoint.restore(path).assert_consumed()
        return int(self.step.numpy())

    def validated(self, step: int, validation_loss: float) -> bool:
        """Save the current weights if a validation loss is lower than all before, and return
        whether it is."""
        if validation_loss >= float(self.best_loss.numpy()):
            self.without_gain.assign_add(1)
            return False
        self.without_gain.assign(0)
        self.best_loss.assign(validation_loss)
        self._best.save(checkpoint_number=step)
        return True

    @property
    def best_step(self) -> int:
        """The step after which the best weights were saved; 0 if none were."""
        path = self._best.latest_checkpoint
        return int(path.rsplit("-", 1)[1]) if path else 0

    def save_latest(self, step: int) -> None:
        """Save the state after ``step`` steps."""
        self.step.assign(step)
        self._latest.save(checkpoint_number=step)

    def restore_best(self) -> None:
        """Load the best weights into the model.

        Raises:
          FileNotFoundError: nothing was saved.
        """
        path = self._best.latest_checkpoint
        if path is None:
            raise FileNotFoundError(
                f"{self.directory} contains no weights. Expected: the best checkpoint of a "
                "training that was validated at least once."
            )
        self._best.checkpoint.restore(path).assert_consumed()

    def remove(self) -> None:
        """Delete this run's state; call it when the export is complete."""
        shutil.rmtree(self.directory, ignore_errors=True)


def read_history(path: Path, last_step: int) -> list[dict[str, Any]]:
    """Read the rows of a ``history.jsonl`` up to a step; a half-written last line is
    dropped."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["step"] <= last_step:
            rows.append(row)
    return rows


def write_history(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the file with the rows, one JSON object per line, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
