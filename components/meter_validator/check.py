"""One check's findings: how many cases, and which of them did not come out as they must."""

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
    """An answer of a model that is no answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A case that failed: what it was, what the contract asks for, what came."""

    case: str
    expected: str
    received: str


@dataclass(slots=True)
class Check:
    """A named check, filled while it runs.

    Attributes:
      name: short, for the report's table.
      proves: what holds where the check passed.
      cases: things compared so far.
      mismatch_count: of these, the ones that differ.
      mismatches: the first of them.
      not_run: why nothing could be compared; empty where it could.
    """

    name: str
    proves: str
    cases: int = 0
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    not_run: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case came out right, and there was one."""
        return not self.not_run and not self.mismatch_count and self.cases > 0

    def equal(self, case: object, expected: object, received: object) -> None:
        """Count one case, and note it where the two differ."""
        self.cases += 1
        if expected != received:
            self._note(case, repr(expected), repr(received))

    def that(self, case: object, holds: bool, expected: str, received: object) -> None:
        """Count one case, and note it where it does not hold."""
        self.cases += 1
        if not holds:
            self._note(case, expected, repr(received))

    @contextmanager
    def answered(self, case: object) -> Iterator[None]:
        """Turn a model's failure to answer into a mismatch: a finding, not an error."""
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
