"""A run of the nodes on Beam, and what they leave, in a form that depends on no engine."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import RunOptions

from pipelines.config import load_config
from pipelines.layout import OutputLayout
from pipelines.pipeline import create_pipeline

# With byte-level BPE, whose tokenizer in the graph is made of more parts than the other.
CONFIG = Path(__file__).parents[2] / "configs" / "tiny-bart.toml"
ROWS = 160
# As the pipeline runs them.
ON_BEAM = ("CorpusExampleGen", "StatisticsGen", "Transform", "Evaluator")


def write_corpus(path: Path) -> Path:
    """Write ROWS usable rows, and one that is not: its count has to come back, too."""
    rows = [
        {
            "document": f"Opens record {n} at once and without a lock; Straße {n % 7}, 日本語.",
            "summary": f"Open record {n}.",
        }
        for n in range(ROWS)
    ]
    rows.append({"document": "Nothing is said of it.", "summary": ""})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_nodes(
    corpus: Path,
    output: Path,
    beam_args: Sequence[str],
    to_node: str,
    from_node: str | None = None,
) -> Path:
    """Run the pipeline's nodes up to one; the folder of their artifacts.

    Args:
      from_node: what is before it is taken from the last run.
    """
    config = load_config(CONFIG, [f"pipeline.beam_args={json.dumps(list(beam_args))}"])
    layout = OutputLayout(output, config.pipeline.name)
    layout.create()
    LocalDagRunner().run(
        create_pipeline(config, str(corpus), layout),
        run_options=RunOptions(
            to_nodes=[to_node], from_nodes=[from_node] if from_node else None
        ),
    )
    return layout.pipeline_root


def assert_same_data(one: Path, other: Path) -> None:
    """Assert that two runs left the same examples, statistics, ids and rejected rows."""
    assert_same_examples(one, other)
    transformed = records(one, "Transform")
    assert sum(map(len, transformed.values())) == ROWS
    assert transformed == records(other, "Transform")


def assert_same_examples(one: Path, other: Path) -> None:
    """Assert the same of runs that ended before Transform."""
    examples = records(one, "CorpusExampleGen")
    assert {split for split, rows in examples.items() if rows} == {"Split-train", "Split-eval"}
    assert sum(map(len, examples.values())) == ROWS
    assert examples == records(other, "CorpusExampleGen")
    found = statistics(one)
    assert len(found) == 2
    assert found == statistics(other)
    assert rejects(one) == rejects(other) != ""


def records(root: Path, node: str) -> dict[str, list[bytes]]:
    """The examples of each split, sorted: an engine promises no order of rows or features."""
    found: dict[str, list[bytes]] = {}
    for path in sorted((root / node).glob("*/*/Split-*/*.gz")):
        found.setdefault(path.parent.name, []).extend(
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
        )
    return {split: sorted(rows) for split, rows in found.items()}


def statistics(root: Path) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """What StatisticsGen found of each split, features sorted: an engine promises no order."""
    found = {}
    for path in (root / "StatisticsGen").glob("statistics/*/Split-*/FeatureStats.pb"):
        content = path.read_bytes()
        of_split = statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
        for dataset in of_split.datasets:
            dataset.features.sort(key=lambda feature: tuple(feature.path.step))
        found[path.parent.name] = of_split
    return found


def rejects(root: Path) -> str:
    """The rows that CorpusExampleGen did not use, in order."""
    (path,) = (root / "CorpusExampleGen").glob("examples/*/rejects.jsonl")
    return path.read_text(encoding="utf-8")


def evaluations(root: Path) -> list[dict[str, Any]]:
    """The metrics of each evaluation, first to last, by slice and name."""
    folders = sorted((root / "Evaluator/evaluation").iterdir(), key=lambda each: int(each.name))
    return [_metrics(each) for each in folders]


def same_metrics(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two evaluations agree: sums of floats may differ by the order of their terms."""
    return one.keys() == other.keys() and all(
        value == pytest.approx(other[key], rel=1e-12, nan_ok=True)
        if isinstance(value, float)
        else value == other[key]
        for key, value in one.items()
    )


def _metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for message in tfma.load_metrics(str(folder)):
        of = message.slice_key.SerializeToString(deterministic=True).hex()
        for metric in message.metric_keys_and_values:
            kind = metric.value.WhichOneof("type")
            value = getattr(metric.value, kind)
            found[f"{of} {metric.key.name}"] = getattr(value, "value", value)
    assert any(isinstance(each, float) and not math.isnan(each) for each in found.values())
    return found
