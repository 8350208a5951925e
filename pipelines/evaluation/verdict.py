"""Reads the result of an evaluation from the Evaluator's artifacts: blessed, or why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from components.promoter.reasons import missed_thresholds
from pipelines.evaluation.config import EvaluationConfig
from pipelines.evaluation.material import Material
from pipelines.evaluation.slices import (
    LENGTH_SLICE,
    OTHER_SOURCES,
    SOURCE_SLICE,
    length_order,
)

# Values of ``MetricSlice.feature``.
OVERALL: Final = ""
SOURCE: Final = "source"
LENGTH: Final = "length"

# How a metric is called in a sentence.
METRIC_NAMES: Final[Mapping[str, str]] = {
    "rouge_l_f1": "ROUGE-L F1",
    "lift_rouge_l_f1": "lead in ROUGE-L F1 over the document's first sentence",
    "share_distinct": "number of different summaries per example",
    "share_repeated": "share of a summary that repeats itself",
    "share_empty": "share of summaries without a word",
    "share_length": "share of summaries that the output limit cut off",
}


class EvaluationOutputError(ValueError):
    """The Evaluator's artifacts are missing or do not come from this project's evaluation."""


@dataclass(frozen=True, slots=True)
class MetricSlice:
    """Metrics of a slice of the examples.

    Attributes:
      feature: `SOURCE`, `LENGTH`, or `OVERALL` for all examples.
      value: the source or the length; empty for all examples.
      examples: number of examples.
      candidate: metrics of the evaluated model, by the names of
        `pipelines.evaluation.statistics.METRICS`.
      champion: the same for the latest blessed model; empty if there was none.
    """

    feature: str
    value: str
    examples: int
    candidate: Mapping[str, float]
    champion: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Check:
    """A threshold and whether it was met.

    Attributes:
      metric: name of the metric, a key of `METRIC_NAMES`.
      setting: name of the setting with the bound, such as ``evaluation.min_rouge_l``.
      kind: how `value` is compared with `bound`; for ``drop`` the value is the candidate's lead
        over the champion, negative if it is worse, and the bound is the most that it may lose.
      value: NaN if the metric could not be computed.
    """

    metric: str
    setting: str
    kind: Literal["at_least", "at_most", "drop"]
    bound: float
    value: float
    passed: bool

    @property
    def name(self) -> str:
        """The metric in words, to begin a line."""
        name = METRIC_NAMES[self.metric]
        if self.kind == "drop":
            name += ", less the champion's"
        return name[0].upper() + name[1:]

    @property
    def asked(self) -> str:
        """The bound in words."""
        if self.kind == "drop":
            return f"at most {self.bound:g} below the champion"
        return f"at {'least' if self.kind == 'at_least' else 'most'} {self.bound:g}"

    @property
    def finding(self) -> str:
        """The outcome in plain words."""
        name = METRIC_NAMES[self.metric]
        if math.isnan(self.value):
            return f"The {name} could not be computed; the bound is {self.bound:g}."
        if self.kind == "drop":
            change = "above" if self.value >= 0 else "below"
            return (
                f"The {name} is {abs(self.value):.4f} {change} the latest blessed model's; "
                f"at most {self.bound:g} below is allowed."
            )
        if self.kind == "at_least":
            return f"The {name} is {self.value:.4f}; at least {self.bound:g} is required."
        return f"The {name} is {self.value:.4f}; at most {self.bound:g} is allowed."

    @property
    def sentence(self) -> str:
        """The outcome in plain words, with the name of the setting that holds the bound."""
        return f"{self.finding.removesuffix('.')} ({self.setting})."


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an evaluation.

    Attributes:
      blessed: whether the Evaluator blessed the model.
      checks: every threshold that was checked.
      overall: metrics over all examples; None when there was no example.
      slices: by source, most examples first and the rest last, then by length, shortest
        first; without those of fewer than `evaluation.min_examples_per_slice` examples.
      material: token counts and sample answers of the candidate; None without examples.
    """

    blessed: bool
    checks: tuple[Check, ...]
    overall: MetricSlice | None
    slices: tuple[MetricSlice, ...]
    material: Material | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the model was not blessed, in plain words; empty if it was."""
        if self.blessed:
            return ()
        if self.overall is None:
            return ("No example was evaluated: the eval split is empty.",)
        failed = tuple(check.sentence for check in self.checks if not check.passed)
        return failed or ("The Evaluator did not bless the model and named no threshold.",)


def read_verdict(evaluation_uri: str | Path, blessing_uri: str | Path) -> Verdict:
    """Read the outcome from the URIs of the Evaluator's two outputs.

    Raises:
      EvaluationOutputError: they contain no finished evaluation made with
        `pipelines.evaluation.eval_config`.
    """
    # TFMA takes seconds to import; who only needs the types need not wait for it.
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.writers import eval_config_writer

    from pipelines.evaluation.extractors import settings_in

    for path in (Path(evaluation_uri) / "eval_config.json", Path(blessing_uri)):
        if not path.exists():
            raise EvaluationOutputError(
                f"{path} does not exist. Expected: the outputs of a finished Evaluator."
            )
    evaluation = str(evaluation_uri)
    eval_config = eval_config_writer.load_eval_run(evaluation)[0]
    settings = settings_in(eval_config)
    read = [_read_slice(message) for message in tfma.load_metrics(evaluation)]
    overall = next(((found, material) for found, material in read if not found.feature), None)
    enough = settings.min_examples_per_slice
    slices = [found for found, _ in read if found.feature and found.examples >= enough]
    return Verdict(
        blessed=(Path(blessing_uri) / "BLESSED").exists(),
        checks=_checks(settings, evaluation, overall[0] if overall else None),
        overall=overall[0] if overall else None,
        slices=tuple(sorted(slices, key=_slice_order)),
        material=overall[1] if overall else None,
    )


def _read_slice(message: Any) -> tuple[MetricSlice, Material | None]:
    from pipelines.evaluation.eval_config import CHAMPION
    from pipelines.evaluation.metrics import MATERIAL

    features = {SOURCE_SLICE: SOURCE, LENGTH_SLICE: LENGTH}
    keys = message.slice_key.single_slice_keys
    candidate: dict[str, float] = {}
    champion: dict[str, float] = {}
    material = None
    for item in message.metric_keys_and_values:
        if item.key.is_diff:
            continue
        metrics = champion if item.key.model_name == CHAMPION else candidate
        if item.key.name != MATERIAL:
            metrics[item.key.name] = item.value.double_value.value
        elif metrics is candidate:
            material = Material.from_json(item.value.bytes_value)
    if "examples" not in candidate:
        raise EvaluationOutputError(
            "the evaluation has no metric 'examples'. Expected: an evaluation made with "
            "pipelines.evaluation.eval_config. Received: " + ", ".join(sorted(candidate))
        )
    found = MetricSlice(
        feature=features[keys[0].column] if keys else OVERALL,
        value=keys[0].bytes_value.decode("utf-8", "replace") if keys else "",
        examples=int(candidate["examples"]),
        candidate=candidate,
        champion=champion,
    )
    return found, material


def _checks(
    settings: EvaluationConfig, evaluation_uri: str, overall: MetricSlice | None
) -> tuple[Check, ...]:
    from pipelines.evaluation.eval_config import THRESHOLDS

    failed = {(missed.metric, missed.kind) for missed in missed_thresholds(evaluation_uri)}
    checks = []
    for threshold in THRESHOLDS:
        dropped = threshold.kind == "drop"
        if overall is None or (dropped and not overall.champion):
            continue
        value = overall.candidate.get(threshold.metric, math.nan)
        if dropped:
            value -= overall.champion.get(threshold.metric, math.nan)
        checks.append(
            Check(
                metric=threshold.metric,
                setting=f"evaluation.{threshold.setting}",
                kind=threshold.kind,
                bound=getattr(settings, threshold.setting),
                value=value,
                passed=(threshold.metric, threshold.kind) not in failed,
            )
        )
    return tuple(checks)


def _slice_order(found: MetricSlice) -> tuple[bool, float, str]:
    if found.feature == SOURCE:
        rest = math.inf if found.value == OTHER_SOURCES else 0
        return (False, rest - found.examples, found.value)
    return (True, length_order(found.value), "")
