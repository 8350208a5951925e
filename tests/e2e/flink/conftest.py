"""Flink and what the tests of a session run there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.flink.flink_cluster import FlinkCluster, flink_cluster
from tests.pipelines.data_nodes import run_nodes, write_corpus


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FlinkCluster]:
    """A cluster of two task managers, for one test: it may kill one of them."""
    folder = tmp_path / "flink"
    folder.mkdir()
    with flink_cluster(folder) as running:
        yield running


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "pairs.jsonl")


@pytest.fixture(scope="session")
def by_default(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of the default runner, up to Transform's."""
    return run_nodes(corpus, tmp_path_factory.mktemp("default"), [], "Transform")
