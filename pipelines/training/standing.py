"""How training says where it stands: log records, which a terminal may show as a bar.

A record of a step says the same in words, for whoever only reads lines. Those at `INFO` are
seconds apart; those between them are at `DEBUG`. No TensorFlow in here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_ATTRIBUTE: Final = "training_standing"
LOGGER: Final = logging.getLogger("tallygraph.training")


class Standing(NamedTuple):
    """Where a training stands.

    Attributes:
      step, steps: made so far, and of the whole run.
      loss: mean cross-entropy of the training batches since the last validation, in nats a
        label.
      examples_per_s: since then, too.
      over: training has ended, whether or not all steps were made.
    """

    step: int
    steps: int
    loss: float
    examples_per_s: float
    over: bool = False


def log_standing(standing: Standing, level: int, left: str = "") -> None:
    """Log where training stands.

    Args:
      left: how long it will go on, in words.
    """
    LOGGER.log(
        level,
        "step %d/%d  loss %.3f  %.0f examples/s  %s left",
        standing.step,
        standing.steps,
        standing.loss,
        standing.examples_per_s,
        left or "nothing",
        extra={_ATTRIBUTE: standing},
    )


def standing_in(record: logging.LogRecord) -> Standing | None:
    """Where training stood when a record was made; None for a record of something else."""
    return getattr(record, _ATTRIBUTE, None)


class LineFormatter(logging.Formatter):
    """A record as one line, for another process to log again."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self._mark = mark

    def format(self, record: logging.LogRecord) -> str:
        fields = {"level": record.levelno, "message": record.getMessage()}
        return self._mark + json.dumps({**fields, "standing": standing_in(record)})


def log_again(line: str) -> None:
    """Log what another process has logged.

    Args:
      line: what `LineFormatter` made of it, without the mark; what is left of one, where the
        process was killed while it wrote, is logged as it is.
    """
    try:
        fields: Mapping[str, Any] = json.loads(line)
    except ValueError:
        LOGGER.info("%s", line.rstrip())
        return
    standing = fields["standing"]
    extra = {_ATTRIBUTE: Standing(*standing)} if standing else None
    LOGGER.log(fields["level"], "%s", fields["message"], extra=extra)
