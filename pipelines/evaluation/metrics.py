"""The metrics for TFMA: one pass over the summaries gives many scalars.

Every `SummaryMetric` names the same two private computations; TFMA runs equal ones once.
The preprocessor scores an example before it is copied into its slices, so ROUGE is
computed once per example and model however many metrics and slices there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types

from pipelines.evaluation.material import Material
from pipelines.evaluation.scores import Answer, Score, Scorer
from pipelines.evaluation.statistics import METRICS, Statistics
from tokenizer import contract

MATERIAL: Final = "report_material"

# TFMA does not write out what starts with one underscore.
_STATISTICS: Final = "_summary_statistics"

Scored = tuple[Answer, Score]


class SummaryMetric(metric_types.Metric):
    """One of `pipelines.evaluation.statistics.METRICS`, as a float metric.

    Args:
      name: name of the metric.
      rouge_words: see `EvaluationConfig.rouge_words`.
      settings: not used by the metric; the extractors read their settings from here.
    """

    def __init__(self, name: str, rouge_words: str, settings: dict[str, Any] | None = None):
        if name not in METRICS:
            raise ValueError(
                f"there is no metric {name!r}. Expected: one of {', '.join(METRICS)}"
            )
        super().__init__(_scalar, name=name, rouge_words=rouge_words, settings=settings)


class ReportMaterial(metric_types.Metric):
    """`pipelines.evaluation.material.Material` as JSON, a metric of type bytes."""

    def __init__(self, rouge_words: str, name: str = MATERIAL):
        super().__init__(_material, name=name, rouge_words=rouge_words)


def _scalar(
    name: str, rouge_words: str, settings: Any, model_names: list[str]
) -> metric_types.MetricComputations:
    computations: metric_types.MetricComputations = []
    for model_name in model_names:
        source = metric_types.MetricKey(_STATISTICS, model_name=model_name)
        target = metric_types.MetricKey(name, model_name=model_name)
        computations.append(
            metric_types.MetricComputation(
                keys=[source],
                preprocessors=[_ScoreAnswer(model_name, rouge_words)],
                combiner=_StatisticsCombiner(source),
            )
        )

        def result(
            metrics: dict[metric_types.MetricKey, Any],
            source: metric_types.MetricKey = source,
            target: metric_types.MetricKey = target,
        ) -> dict[metric_types.MetricKey, float]:
            return {target: METRICS[name](metrics[source])}

        computations.append(metric_types.DerivedMetricComputation([target], result))
    return computations


def _material(
    name: str, rouge_words: str, model_names: list[str]
) -> metric_types.MetricComputations:
    return [
        metric_types.MetricComputation(
            keys=[key := metric_types.MetricKey(name, model_name=model_name)],
            preprocessors=[_TakeAnswer(model_name)],
            combiner=_MaterialCombiner(key),
        )
        for model_name in model_names
    ]


class _TakeAnswer(metric_types.Preprocessor):
    """From one example's extracts, one model's answer."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"answer of {model_name}")
        self._model_name = model_name

    def process(self, extracts: dict[str, Any]) -> Iterator[Any]:
        yield self._answer(extracts)

    def _answer(self, extracts: dict[str, Any]) -> Answer:
        features = extracts[constants.FEATURES_KEY]
        outputs = extracts[constants.PREDICTIONS_KEY]
        # With one model TFMA leaves out the level of the model's name.
        if self._model_name:
            outputs = outputs[self._model_name]
        return Answer(
            id=_text(features["id"]),
            source=_text(features["source"]),
            document=_text(features["document"]),
            reference=_text(features["summary"]),
            summary=_text(outputs[contract.SUMMARY]),
            input_tokens=int(_only(outputs[contract.INPUT_TOKENS])),
            output_tokens=int(_only(outputs[contract.OUTPUT_TOKENS])),
            truncated_tokens=int(_only(outputs[contract.TRUNCATED_TOKENS])),
            finish_reason=_text(outputs[contract.FINISH_REASON]),
        )


class _ScoreAnswer(_TakeAnswer):
    """The same with its score."""

    def __init__(self, model_name: str, rouge_words: str) -> None:
        super().__init__(model_name)
        self._name = f"score of {model_name}"
        self._rouge_words = rouge_words
        self._scorer: Scorer | None = None  # made where it is used: it is not to be pickled

    def process(self, extracts: dict[str, Any]) -> Iterator[Scored]:
        if self._scorer is None:
            self._scorer = Scorer(self._rouge_words)
        answer = self._answer(extracts)
        yield answer, self._scorer.score(answer)


class _StatisticsCombiner(beam.CombineFn):
    def __init__(self, key: metric_types.MetricKey) -> None:
        self._key = key

    def create_accumulator(self) -> Statistics:
        return Statistics()

    def add_input(self, accumulator: Statistics, scored: Scored) -> Statistics:
        accumulator.add(*scored)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Statistics]) -> Statistics:
        merged = Statistics()
        merged.merge(accumulators)
        return merged

    def extract_output(
        self, accumulator: Statistics
    ) -> dict[metric_types.MetricKey, Statistics]:
        return {self._key: accumulator}


class _MaterialCombiner(beam.CombineFn):
    def __init__(self, key: metric_types.MetricKey) -> None:
        self._key = key

    def create_accumulator(self) -> Material:
        return Material()

    def add_input(self, accumulator: Material, answer: Answer) -> Material:
        accumulator.add(answer)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Material]) -> Material:
        merged = Material()
        merged.merge(accumulators)
        return merged

    def extract_output(self, accumulator: Material) -> dict[metric_types.MetricKey, bytes]:
        return {self._key: accumulator.to_json()}


def _only(values: Any) -> Any:
    """The one value of an example's feature or output, however TFMA nests it."""
    flat = np.asarray(values).reshape(-1)
    if flat.size != 1:
        raise ValueError(f"expected one value for each example. Received: {flat.size}")
    return flat[0]


def _text(values: Any) -> str:
    value = _only(values)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
