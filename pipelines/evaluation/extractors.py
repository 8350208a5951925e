"""Turns raw examples into model outputs: what TFX's Evaluator runs before the metrics.

The Evaluator gets this module as ``module_path``. It differs from TFMA's default in what
happens before the model is called: it takes a bounded sample, sorted by length, in batches of
the configured size, feeds the model's input ``text`` from the feature ``document``, and
computes two features to slice by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from pydantic import TypeAdapter
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.extractors import (
    predictions_extractor,
    slice_key_extractor,
    unbatch_extractor,
)
from tensorflow_model_analysis.proto import config_pb2

from pipelines.evaluation.config import EvaluationConfig
from pipelines.evaluation.material import order_key
from pipelines.evaluation.slices import (
    LENGTH_SLICE,
    OTHER_SOURCES,
    SOURCE_SLICE,
    length_slice,
    sources_with_slices,
)
from tokenizer.contract import INPUT_TEXT

_FEATURES: Final = ("document", "summary", "id", "source")


class Row(NamedTuple):
    """One example of the eval split, as bytes."""

    document: bytes
    summary: bytes
    id: bytes
    source: bytes


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """The Evaluator's hook: the extractors of this evaluation, in order."""
    del tensor_adapter_config  # read from Arrow directly
    return [
        tfma.extractors.Extractor(
            stage_name="SampleExamples", ptransform=SampleExamples(settings_in(eval_config))
        ),
        predictions_extractor.PredictionsExtractor(
            eval_config=eval_config, eval_shared_model=eval_shared_model
        ),
        unbatch_extractor.UnbatchExtractor(),
        slice_key_extractor.SliceKeyExtractor(eval_config=eval_config, materialize=False),
    ]


def settings_in(eval_config: config_pb2.EvalConfig) -> EvaluationConfig:
    """Read the settings that `pipelines.evaluation.eval_config` wrote into an EvalConfig.

    The EvalConfig is all that the Evaluator passes to its hooks.

    Raises:
      ValueError: there are none.
    """
    for metrics_spec in eval_config.metrics_specs:
        for metric in metrics_spec.metrics:
            settings = json.loads(metric.config or "{}").get("settings")
            if settings:
                return TypeAdapter(EvaluationConfig).validate_python(settings)
    raise ValueError(
        "the EvalConfig has no evaluation settings. Expected: an EvalConfig made by "
        "pipelines.evaluation.eval_config.eval_config"
    )


class SampleExamples(beam.PTransform):
    """Turns record batches of the eval split into batches of features, sampled and sorted."""

    def __init__(self, config: EvaluationConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        return (
            extracts
            | "ReadRows" >> beam.FlatMap(read_rows)
            | "TakeSample"
            >> beam.CombineGlobally(
                beam.combiners.TopCombineFn(self._config.max_examples, key=_order, reverse=True)
            )
            | "MakeBatches" >> beam.FlatMap(make_batches, self._config)
        )


def read_rows(extracts: dict[str, Any]) -> Iterator[Row]:
    """Read the rows of one Arrow record batch of tf.Examples.

    Raises:
      ValueError: a feature is missing, or does not have exactly one value in every example.
    """
    batch = extracts[constants.ARROW_RECORD_BATCH_KEY]
    columns = []
    for name in _FEATURES:
        index = batch.schema.get_field_index(name)
        values = batch.column(index).to_pylist() if index >= 0 else []
        if len(values) != batch.num_rows or any(not v or len(v) != 1 for v in values):
            raise ValueError(
                f"every example must have one bytes value for the feature {name!r}. "
                f"Received features: {', '.join(batch.schema.names)}"
            )
        columns.append([value[0] for value in values])
    for row in zip(*columns, strict=True):
        yield Row(*row)


def make_batches(rows: list[Row], config: EvaluationConfig) -> Iterator[dict[str, Any]]:
    """Make TFMA's extracts for the rows, `batch_size` at a time, short documents first.

    Rows of similar length need the least padding. The order changes no output: a metered
    model's rows are independent of their batch.
    """
    own_slice = sources_with_slices([row.source for row in rows], config)
    ordered = sorted(rows, key=lambda row: (len(row.document), _order(row)))
    for start in range(0, len(ordered), config.batch_size):
        batch = ordered[start : start + config.batch_size]
        features = {name: _column([getattr(row, name) for row in batch]) for name in _FEATURES}
        features[INPUT_TEXT] = features["document"]
        features[SOURCE_SLICE] = _column(
            [row.source if row.source in own_slice else OTHER_SOURCES.encode() for row in batch]
        )
        features[LENGTH_SLICE] = _column(
            [length_slice(row.document, config.length_bucket_words).encode() for row in batch]
        )
        # TFMA looks under the input key for serialised examples even where the model takes
        # features by name, as this one takes `text`.
        yield {
            constants.FEATURES_KEY: features,
            constants.INPUT_KEY: features["document"],
        }


def _order(row: Row) -> int:
    return order_key(row.id.decode("utf-8", "replace"), row.document.decode("utf-8", "replace"))


def _column(values: list[bytes]) -> np.ndarray:
    return np.array(values, dtype=object)
