"""The data nodes on Apache Flink, on two task managers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.flink.flink_cluster import FlinkCluster
from tests.pipelines.data_nodes import (
    ON_BEAM,
    assert_same_data,
    evaluations,
    run_nodes,
    same_metrics,
)

pytestmark = [pytest.mark.flink, pytest.mark.timeout(1800)]


def test_flink_gives_what_the_default_gives(
    cluster: FlinkCluster, corpus: Path, by_default: Path, tmp_path: Path
) -> None:
    # When the settings name the cluster
    on_flink = run_nodes(corpus, tmp_path / "flink-run", cluster.options, "Evaluator")

    # Then it did the work of each node on Beam
    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"] * len(ON_BEAM)
    # And every result is the same
    assert_same_data(on_flink, by_default)
    # And so is the evaluation of the same model with the same examples
    run_nodes(corpus, tmp_path / "flink-run", [], "Evaluator", from_node="Evaluator")
    there, here = evaluations(on_flink)
    assert same_metrics(there, here)
