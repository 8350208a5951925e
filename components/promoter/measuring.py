"""Metrics from the Evaluator, and metrics of the champion computed in the same way."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import eval_config_writer
from tfx import types
from tfx.components.evaluator import executor as evaluator
from tfx.types import standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import path_utils


class MetricsError(ValueError):
    """The evaluation has no metrics over all examples."""


def metrics_in(evaluation_uri: str, baseline: bool = False) -> dict[str, float]:
    """Return the metrics over all examples, of the candidate or of the baseline model.

    Raises:
      MetricsError: there are none for the candidate.
    """
    names = {
        spec.name
        for spec in _eval_config(evaluation_uri).model_specs
        if spec.is_baseline == baseline
    }
    found = {
        item.key.name: item.value.double_value.value
        for message in tfma.load_metrics(evaluation_uri)
        if not message.slice_key.single_slice_keys
        for item in message.metric_keys_and_values
        if not item.key.is_diff
        and item.value.HasField("double_value")
        # Of one model alone, TFMA leaves the name out.
        and (item.key.model_name in names or (not baseline and not item.key.model_name))
    }
    found = {name: value for name, value in found.items() if math.isfinite(value)}
    if not found and not baseline:
        raise MetricsError(
            f"{evaluation_uri} has no metrics over all examples. Expected: the evaluation "
            "of a finished Evaluator. Received: one without examples, or without metrics."
        )
    return found


def champion_metrics(
    champion_dir: str,
    evaluation_uri: str,
    is_baseline: bool,
    examples: list[types.Artifact],
    split: str,
    module_path: str,
    context: Any,
) -> Mapping[str, float]:
    """Return the champion's metrics on the examples that the candidate was evaluated on.

    The Evaluator has them if the champion was its baseline. Otherwise the champion is evaluated
    now, with the same settings.

    Args:
      champion_dir: its SavedModel.
      is_baseline: whether it was the baseline of that evaluation.
      module_path: the Evaluator's.
      context: of the calling executor, for its Beam arguments; None for defaults.

    Returns:
      Metrics by name; none if the champion's folder is gone.
    """
    if is_baseline:
        return metrics_in(evaluation_uri, baseline=True)
    if not (Path(champion_dir) / "saved_model.pb").is_file():
        return {}
    with tempfile.TemporaryDirectory() as work:
        model = standard_artifacts.Model()
        model.uri = f"{work}/model"
        Path(model.uri).mkdir()
        Path(path_utils.serving_model_path(model.uri)).symlink_to(champion_dir)
        evaluation, blessing = types.standard_artifacts.ModelEvaluation(), _blessing(work)
        evaluation.uri = f"{work}/evaluation"
        evaluator.Executor(context).Do(
            {keys.MODEL_KEY: [model], keys.EXAMPLES_KEY: examples},
            {keys.EVALUATION_KEY: [evaluation], keys.BLESSING_KEY: [blessing]},
            {
                keys.EVAL_CONFIG_KEY: json_format.MessageToJson(
                    _without_baseline(_eval_config(evaluation_uri)),
                    preserving_proto_field_name=True,
                ),
                keys.EXAMPLE_SPLITS_KEY: f'["{split}"]',
                keys.MODULE_PATH_KEY: module_path,
            },
        )
        return metrics_in(evaluation.uri)


def _blessing(work: str) -> types.Artifact:
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = f"{work}/blessing"
    return blessing


def _eval_config(evaluation_uri: str) -> config_pb2.EvalConfig:
    return eval_config_writer.load_eval_run(evaluation_uri)[0]


def _without_baseline(config: config_pb2.EvalConfig) -> config_pb2.EvalConfig:
    """TFMA drops a baseline that is not there, and what compares with it, by itself; but not
    from the models, if the config was read back from a run that had one."""
    own = config_pb2.EvalConfig()
    own.CopyFrom(config)
    del own.model_specs[:]
    own.model_specs.extend(spec for spec in config.model_specs if not spec.is_baseline)
    return own
