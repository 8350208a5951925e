"""Reasons why a model was not blessed, from the validators' outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

REPORT_FILE: Final = "report.json"


@dataclass(frozen=True, slots=True)
class MissedThreshold:
    """A TFMA threshold that a model did not meet.

    Attributes:
      kind: how `value` was compared with `bound`; for ``drop`` the value is the model's lead
        over the baseline, negative if it is worse, and the bound is the most that it may lose.
      value: NaN if the metric could not be computed.
    """

    metric: str
    kind: Literal["at_least", "at_most", "drop"]
    bound: float
    value: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return f"{self.metric} could not be computed; the bound is {self.bound:g}."
        if self.kind == "drop":
            return (
                f"{self.metric} is {abs(self.value):.4f} "
                f"{'above' if self.value >= 0 else 'below'} the baseline model's; at most "
                f"{self.bound:g} below is allowed."
            )
        if self.kind == "at_least":
            return f"{self.metric} is {self.value:.4f}; at least {self.bound:g} is required."
        return f"{self.metric} is {self.value:.4f}; at most {self.bound:g} is allowed."


def missed_thresholds(evaluation_uri: str) -> Iterator[MissedThreshold]:
    """Return every threshold over all examples that TFMA found not met.

    Args:
      evaluation_uri: of a finished Evaluator's ModelEvaluation.
    """
    import tensorflow_model_analysis as tfma

    validation = tfma.load_validation_result(evaluation_uri)
    for slice_validation in validation.metric_validations_per_slice:
        for failure in slice_validation.failures:
            yield _missed(failure)


def reasons_of_evaluator(evaluation_uri: str) -> list[str]:
    """Return why the Evaluator did not bless the model, one sentence for each reason."""
    reasons = [str(missed) for missed in missed_thresholds(evaluation_uri)]
    return reasons or ["it names no threshold; its test set may be empty."]


def reasons_of_meter_validator(blessing_uri: str) -> list[str]:
    """Return why MeterValidator did not bless the model, one sentence for each check."""
    reasons = []
    for check in _report(blessing_uri).get("checks", []):
        if check["not_run"]:
            reasons.append(f"{check['name']} was not run: {check['not_run']}.")
        elif not check["passed"]:
            compared = f"{check['mismatch_count']} of {check['cases']} cases differ"
            reasons.append(f"{check['name']}: {compared}.")
    return reasons


def reasons_of_serving_validator(blessing_uri: str) -> list[str]:
    """Return why ServingValidator did not bless the model."""
    reason = _report(blessing_uri).get("reason", "")
    return [reason] if reason else []


def _report(blessing_uri: str) -> dict[str, Any]:
    """A validator's report; empty where it left none, which changes nothing of its verdict."""
    path = Path(blessing_uri) / REPORT_FILE
    if not path.is_file():
        return {}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _missed(failure: Any) -> MissedThreshold:
    threshold, metric = failure.metric_threshold, failure.metric_key.name
    received = failure.metric_value
    value = received.double_value.value if received.HasField("double_value") else math.nan
    if threshold.HasField("change_threshold"):
        bound = abs(threshold.change_threshold.absolute.value)
        return MissedThreshold(metric, "drop", bound, value)
    asked = threshold.value_threshold
    if asked.HasField("lower_bound"):
        return MissedThreshold(metric, "at_least", asked.lower_bound.value, value)
    return MissedThreshold(metric, "at_most", asked.upper_bound.value, value)
