"""The pipeline's Beam components on an engine outside, named by the settings alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import v1 as tfx
from tfx.orchestration.pipeline import RunOptions

from pipelines.config import load_config
from pipelines.layout import OutputLayout
from pipelines.pipeline import create_pipeline
from tests.pipelines.beam_engine import beam_engine

# With byte-level BPE, whose tokenizer in the graph is made of more parts than the other.
CONFIG = Path(__file__).parents[2] / "configs" / "tiny-bart.toml"
BEAM_NODES = ("CorpusExampleGen", "StatisticsGen", "Transform")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "pairs.jsonl"
    rows = [
        {
            "document": f"Opens record {n} at once and without a lock; Straße {n % 7}, 日本語.",
            "summary": f"Open record {n}.",
        }
        for n in range(160)
    ]
    # One that is rejected: what a worker counts has to come back, too.
    rows.append({"document": "Nothing is said of it.", "summary": ""})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run_until_transform(corpus: Path, output: Path, beam_args: list[str]) -> Path:
    """Run the pipeline's nodes up to Transform; the folder of its artifacts."""
    config = load_config(CONFIG, [f"pipeline.beam_args={json.dumps(beam_args)}"])
    layout = OutputLayout(output, config.pipeline.name)
    layout.create()
    tfx.orchestration.LocalDagRunner().run(
        create_pipeline(config, str(corpus), layout),
        run_options=RunOptions(to_nodes=["Transform"]),
    )
    return layout.pipeline_root


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
    """What StatisticsGen found of each split."""
    return {
        path.parent.name: statistics_pb2.DatasetFeatureStatisticsList.FromString(
            path.read_bytes()
        )
        for path in (root / "StatisticsGen").glob("statistics/*/Split-*/FeatureStats.pb")
    }


@pytest.mark.long
def test_a_portable_engine_gives_what_the_default_gives(corpus: Path, tmp_path: Path) -> None:
    # Given an engine that shares nothing with this process but the files
    with beam_engine(tmp_path) as engine:
        # When the settings name it
        outside = run_until_transform(corpus, tmp_path / "outside", engine.options)

        # Then it did the work of each Beam component
        assert engine.job_states() == ["DONE"] * len(BEAM_NODES)
    default = run_until_transform(corpus, tmp_path / "default", [])

    # And every result is the same
    examples = records(outside, "CorpusExampleGen")
    assert {split for split, rows in examples.items() if rows} == {"Split-train", "Split-eval"}
    assert sum(map(len, examples.values())) == 160
    assert examples == records(default, "CorpusExampleGen")
    found = statistics(outside)
    assert len(found) == 2
    assert found == statistics(default)
    transformed = records(outside, "Transform")
    assert sum(map(len, transformed.values())) == 160
    assert transformed == records(default, "Transform")
    rejects = [next(root.glob("*/*/*/rejects.jsonl")) for root in (outside, default)]
    assert rejects[0].read_text() == rejects[1].read_text() != ""
