"""Progress of training, for the terminal and for the report."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from pipelines.training.checkpoints import write_history
from pipelines.training.settings import TrainingSettings
from pipelines.training.standing import LOGGER, Standing, log_standing

HISTORY_FILE = "history.jsonl"
_LINE_EVERY_S = 5.0
_STANDING_EVERY_S = 0.25
# What tf.summary.scalar writes; that function loads the tensorboard package, which a training
# needs for nothing else.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
)


class Progress:
    """Log records for people, ``history.jsonl`` and TensorBoard events for machines.

    ``history.jsonl`` holds a row a validation: ``step``, ``examples`` (seen so far),
    ``train_loss`` (mean since the row before, nats a label), ``val_loss``,
    ``examples_per_s``, ``learning_rate`` and ``seconds`` (training time so far, of all
    attempts).
    """

    def __init__(
        self,
        run_dir: Path,
        settings: TrainingSettings,
        done: int,
        history: list[dict[str, Any]],
    ) -> None:
        self.history = history
        self._path = run_dir / HISTORY_FILE
        self._settings = settings
        self._steps = settings.steps
        self._board = tf.summary.create_file_writer(str(run_dir))
        self._seconds_before = history[-1]["seconds"] if history else 0.0
        self._started = self._last_line = self._last_standing = time.monotonic()
        self._first_step = self._step = done
        self._first_ended = self._started
        self._nats = self._labels = 0.0
        self._examples_total = history[-1]["examples"] if history else 0
        self._examples = 0
        self._row_started = self._started
        write_history(self._path, history)
        for row in history:
            self._to_board(row)
        if done:
            LOGGER.info("training continues after step %d of %d", done, self._steps)

    def stepped(self, step: int, nats: float, labels: float, examples: int) -> None:
        """Count one step, and print progress from time to time."""
        if self._step == self._first_step:
            self._first_ended = time.monotonic()
        self._step = step
        self._nats += nats
        self._labels += labels
        self._examples += examples
        now = time.monotonic()
        if now - self._last_line >= _LINE_EVERY_S:
            self._last_line = self._last_standing = now
            log_standing(self._standing(now), logging.INFO, self._left(now))
        elif now - self._last_standing >= _STANDING_EVERY_S or step == self._steps:
            self._last_standing = now
            log_standing(self._standing(now), logging.DEBUG, self._left(now))
        if step == self._settings.lead_steps:
            for line in _end_of_lead(self._settings):
                LOGGER.info(line)

    def _standing(self, now: float) -> Standing:
        return Standing(
            self._step,
            self._steps,
            self._nats / max(self._labels, 1.0),
            self._examples / max(now - self._row_started, 1e-9),
        )

    def _left(self, now: float) -> str:
        # The first step is compiled, which takes longer than it does.
        steps = self._step - self._first_step - 1
        if steps < 1:
            return "an unknown time"
        return _minutes((self._steps - self._step) * (now - self._first_ended) / steps)

    def validated(
        self, step: int, validation_loss: float, best: bool, learning_rate: float, since: float
    ) -> None:
        """Record a validation that began at ``since``; its time does not count as training
        time."""
        self._examples_total += self._examples
        row = {
            "step": step,
            "examples": self._examples_total,
            "train_loss": round(self._nats / max(self._labels, 1.0), 5),
            "val_loss": round(validation_loss, 5),
            "examples_per_s": round(self._examples / max(since - self._row_started, 1e-9), 1),
            "learning_rate": learning_rate,
            "seconds": round(self._seconds_before + time.monotonic() - self._started, 1),
        }
        self.history.append(row)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        self._to_board(row)
        LOGGER.info(
            "step %d/%d  loss %.3f  validation loss %.3f%s",
            step,
            self._steps,
            row["train_loss"],
            validation_loss,
            "  (best so far)" if best else "",
        )
        self._nats = self._labels = 0.0
        self._examples = 0
        self._row_started = time.monotonic()

    def stopped_early(self, step: int, best_loss: float, best_step: int) -> None:
        """Say why training ends before its last step."""
        LOGGER.info(
            "training stops after step %d of %d: no validation since step %d had a loss below "
            "%.3f (training.patience = %d); the weights of that step are exported",
            step,
            self._steps,
            best_step,
            best_loss,
            self._settings.patience,
        )

    def close(self) -> None:
        """Training is over, finished or not."""
        standing = self._standing(time.monotonic())._replace(over=True)
        log_standing(standing, logging.DEBUG)
        self._board.close()

    def _to_board(self, row: dict[str, Any]) -> None:
        with self._board.as_default(step=row["step"]):
            for name in ("train_loss", "val_loss", "examples_per_s", "learning_rate"):
                tf.summary.write(name, tf.constant(row[name], tf.float32), metadata=_SCALAR)
        self._board.flush()


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d} min"


def _end_of_lead(settings: TrainingSettings) -> tuple[str, ...]:
    """Why the loss has risen, told at the step from which on it may be compared."""
    rest = f"all but {settings.lead_share:.0%}" if settings.lead_share else "all"
    return (
        f"step {settings.lead_steps}/{settings.steps}  training.lead_steps end here. Until now "
        "a falling share of the examples",
        "asked for the beginning of the document, which is easier to write than a summary: the "
        "loss rises as that",
        f"share falls, although the model gets better. From here on {rest} ask for the "
        "summary; do not compare",
        "the losses before with those that follow. The validation loss is of summaries "
        "throughout.",
    )
