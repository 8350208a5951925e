"""How versions of a model compare: answers and errors of the last days, at all gateways."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from serving.ledger.daily_versions import VersionCounts, VersionKey

DAYS: Final = 7


@dataclass(slots=True)
class VersionFigures:
    """Of a version, in some days.

    Attributes:
      answered: of the requests that a model server has answered.
      failed: requests that got an error.
      errors: of these, how many got each code.
    """

    answered: VersionCounts = field(default_factory=VersionCounts)
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """Answered and failed."""
        return self.answered.requests + self.failed

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.requests if self.requests else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Of an answered request; None where there was none."""
        answered = self.answered
        return answered.latency_ms / answered.requests if answered.requests else None

    @property
    def mean_output_tokens(self) -> float | None:
        """Of a summary; None where there was none."""
        answered = self.answered
        return answered.output_tokens / answered.summaries if answered.summaries else None

    @property
    def stopped_percent(self) -> float | None:
        """Of the summaries, those that the model ended; None where there was none."""
        answered = self.answered
        return 100 * answered.stopped / answered.summaries if answered.summaries else None

    def add(self, error: str, counts: VersionCounts) -> None:
        """Add what was counted with an error's code; empty for answers."""
        if error:
            self.failed += counts.requests
            self.errors[error] += counts.requests
        else:
            self.answered += counts


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """
    Attributes:
      versions: of all days together, by the version.
      days: the newest first, each by the version.
    """

    versions: dict[str, VersionFigures]
    days: dict[str, dict[str, VersionFigures]]


def first_of_days(now: datetime.datetime) -> str:
    """The first of the `DAYS` that end today."""
    return (now.date() - datetime.timedelta(days=DAYS - 1)).isoformat()


def compare_versions(
    models: Iterable[str], counts: Mapping[VersionKey, VersionCounts]
) -> dict[str, ModelVersions]:
    """What was counted, by model; models without requests are there, too.

    Args:
      models: of the price book.
    """
    found = {model: ModelVersions({}, {}) for model in models}
    for key in sorted(counts, reverse=True):
        of_model = found.setdefault(key.model, ModelVersions({}, {}))
        of_day = of_model.days.setdefault(key.day, {})
        for versions in (of_model.versions, of_day):
            figures = versions.setdefault(key.version, VersionFigures())
            figures.add(key.error, counts[key])
    return found
