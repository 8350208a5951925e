"""TFMA's EvalConfig: which model is asked, what is measured, what decides the blessing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Literal

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2

from pipelines.evaluation import metrics as metrics_module
from pipelines.evaluation.config import EvaluationConfig
from pipelines.evaluation.slices import LENGTH_SLICE, SOURCE_SLICE
from pipelines.evaluation.statistics import METRICS
from tokenizer.contract import SIGNATURE_DEFAULT

# For the Evaluator's ``module_path``.
EXTRACTORS_MODULE: Final = "pipelines.evaluation.extractors"

CANDIDATE: Final = "candidate"
CHAMPION: Final = "champion"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on one metric over all examples.

    Attributes:
      metric: its name in `METRICS`.
      setting: the setting in [evaluation] that holds the bound.
      kind: whether the value must be at least or at most the bound, or may fall at most
        by the bound below the champion's.
    """

    metric: str
    setting: str
    kind: Literal["at_least", "at_most", "drop"]


THRESHOLDS: Final = (
    Threshold("rouge_l_f1", "min_rouge_l", "at_least"),
    Threshold("lift_rouge_l_f1", "min_lift_over_baseline_rouge_l", "at_least"),
    Threshold("share_distinct", "min_share_distinct", "at_least"),
    Threshold("share_repeated", "max_share_repeated", "at_most"),
    Threshold("share_empty", "max_share_empty", "at_most"),
    Threshold("share_length", "max_share_length", "at_most"),
    Threshold("rouge_l_f1", "max_rouge_l_drop_vs_champion", "drop"),
)


def eval_config(config: EvaluationConfig, decides: bool = True) -> config_pb2.EvalConfig:
    """The EvalConfig for TFX's Evaluator.

    Args:
      decides: whether the thresholds are asked. Without, nothing is ever blessed by it.

    The Evaluator must also be given ``module_path=EXTRACTORS_MODULE``. A latest blessed
    model is optional: without one the Evaluator drops the champion and its threshold.
    """
    module = metrics_module.__name__
    metrics = [
        config_pb2.MetricConfig(
            class_name=metrics_module.SummaryMetric.__name__,
            module=module,
            config=json.dumps(
                {
                    "name": name,
                    "rouge_words": config.rouge_words,
                    # Once is enough.
                    "settings": asdict(config) if position == 0 else None,
                },
                sort_keys=True,
            ),
            per_slice_thresholds=_thresholds(name, config) if decides else [],
        )
        for position, name in enumerate(METRICS)
    ]
    metrics.append(
        config_pb2.MetricConfig(
            class_name=metrics_module.ReportMaterial.__name__,
            module=module,
            config=json.dumps({"rouge_words": config.rouge_words}),
        )
    )
    options = config_pb2.Options()
    options.include_default_metrics.value = False
    return config_pb2.EvalConfig(
        model_specs=[_model_spec(CANDIDATE), _model_spec(CHAMPION, is_baseline=True)],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            config_pb2.SlicingSpec(feature_keys=[SOURCE_SLICE]),
            config_pb2.SlicingSpec(feature_keys=[LENGTH_SLICE]),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
        options=options,
    )


def _model_spec(name: str, is_baseline: bool = False) -> config_pb2.ModelSpec:
    return config_pb2.ModelSpec(
        name=name,
        # Named, lest TFMA loads the model once as a Keras model to find out.
        model_type=tfma.TF_GENERIC,
        signature_name=SIGNATURE_DEFAULT,
        label_key="summary",
        is_baseline=is_baseline,
    )


def _thresholds(
    metric: str, config: EvaluationConfig
) -> list[config_pb2.PerSliceMetricThreshold]:
    found = []
    for threshold in THRESHOLDS:
        if threshold.metric != metric:
            continue
        bound = getattr(config, threshold.setting)
        proto = config_pb2.MetricThreshold()
        if threshold.kind == "at_least":
            proto.value_threshold.lower_bound.value = bound
        elif threshold.kind == "at_most":
            proto.value_threshold.upper_bound.value = bound
        else:
            proto.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
            proto.change_threshold.absolute.value = -bound
        # Over all examples only: without a slice named, TFMA asks it of every slice.
        found.append(
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec()], threshold=proto
            )
        )
    return found
