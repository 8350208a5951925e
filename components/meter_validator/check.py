"""The findings of a check: the number of cases, and those that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import tensorflow as tf

# Enough to see what is wrong; the number of all mismatches is kept beside them.
MAX_MISMATCHES_KEPT: Final = 20
_MAX_SHOWN: Final = 200


class AnswerError(ValueError):
    """The model's output does not have the form of a response to the request."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case that failed: what it was, what the contract requires, and what was received."""

    case: str
    expected: str
    received: str


@dataclass(slots=True)
class Check:
    """A named check, filled while it runs.

    Attributes:
      name: short, for the report's table.
      proves: what is proven if the check passed.
      cases: number of comparisons so far.
      mismatch_count: of these, the ones that differ.
      mismatches: the first of them.
      not_run: why nothing could be compared; empty if the check was run.
    """

    name: str
    proves: str
    cases: int = 0
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    not_run: str = ""

    @property
    def passed(self) -> bool:
        """Whether there were cases, and all of them passed."""
        return not self.not_run and not self.mismatch_count and self.cases > 0

    def equal(self, case: object, expected: object, received: object) -> None:
        """Count one case, and record a mismatch if the two differ."""
        self.cases += 1
        if expected != received:
            self._note(case, repr(expected), repr(received))

    def that(self, case: object, holds: bool, expected: str, received: object) -> None:
        """Count one case, and record a mismatch if the condition does not hold."""
        self.cases += 1
        if not holds:
            self._note(case, expected, repr(received))

    @contextmanager
    def answered(self, case: object) -> Iterator[None]:
        """Turn a failure of the model into a mismatch: a finding, not an error."""
        try:
            yield
        except (tf.errors.OpError, AnswerError) as error:
            self.cases += 1
            message = str(getattr(error, "message", error))
            self._note(case, "an answer", f"{type(error).__name__}: {message}")

    def _note(self, case: object, expected: str, received: str) -> None:
        self.mismatch_count += 1
        if len(self.mismatches) < MAX_MISMATCHES_KEPT:
            shown = case if isinstance(case, str) else repr(case)
            self.mismatches.append(
                Mismatch(_shortened(shown), _shortened(expected), _shortened(received))
            )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}… ({len(text)} characters)"
