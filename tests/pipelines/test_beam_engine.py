"""The pipeline's Beam components on an engine outside, named by the settings alone.

`make test-engine` runs the comparison on an engine of one's own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from serving.engines.base import free_ports
from tests.pipelines.beam_engine import beam_engine, chosen_engine
from tests.pipelines.data_nodes import (
    assert_same_data,
    evaluations,
    run_nodes,
    same_metrics,
    write_corpus,
)
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "pairs.jsonl")


@pytest.fixture(scope="module")
def default(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the default runner makes of it."""
    return run_nodes(corpus, tmp_path_factory.mktemp("default"), [], "Transform")


@pytest.mark.long
def test_a_portable_engine_gives_what_the_default_gives(
    corpus: Path, default: Path, tmp_path: Path
) -> None:
    # Given an engine that shares nothing with this process but the files
    with chosen_engine(tmp_path) as options:
        # When the settings name it
        outside = run_nodes(corpus, tmp_path / "outside", options, "Evaluator")

    # Then every result is the same
    assert_same_data(outside, default)
    # And so is the evaluation of the same model with the same examples
    run_nodes(corpus, tmp_path / "outside", [], "Evaluator", from_node="Evaluator")
    on_the_engine, by_default = evaluations(outside)
    assert same_metrics(on_the_engine, by_default)


# Beam's client hears of it in a thread of its own, too.
@pytest.mark.filterwarnings(
    "ignore:Exception in thread wait:pytest.PytestUnhandledThreadExceptionWarning"
)
@pytest.mark.long
def test_a_run_whose_engine_is_killed_goes_on_from_there(
    corpus: Path, default: Path, tmp_path: Path
) -> None:
    # Given an engine that is killed while it runs the third node
    ports = free_ports(2)
    killed = tmp_path / "killed"
    with beam_engine(tmp_path, ports) as engine, ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_nodes, corpus, killed, engine.options, "Transform")
        wait_until(
            lambda: running.done() or engine.job_states() == ["DONE", "DONE", "RUNNING"],
            "Transform runs",
        )
        engine.kill()
        # Then the run fails
        with pytest.raises(grpc.RpcError):
            running.result()

    # And with an engine at the same addresses the next run needs that node only
    with beam_engine(tmp_path, ports) as engine:
        root = run_nodes(corpus, killed, engine.options, "Transform")
        assert engine.job_states() == ["DONE"]
    assert_same_data(root, default)
