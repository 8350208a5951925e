"""The data nodes on Apache Flink, on two task managers, one of which is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.flink.flink_cluster import FlinkCluster
from tests.pipelines.data_nodes import (
    ON_BEAM,
    assert_same_data,
    assert_same_examples,
    evaluations,
    run_nodes,
    same_metrics,
)
from tests.serving.billing.logged_case import (
    assert_engine_finds_what_the_default_finds,
    logged_case,
)
from tests.support.waiting import wait_until

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


def test_logs_are_compared_with_a_ledger_there(cluster: FlinkCluster, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    with logged_case(folder) as case:
        assert_engine_finds_what_the_default_finds(case, cluster.options)
    assert [job["state"] for job in cluster.jobs()] == ["FINISHED"]


def test_a_task_manager_is_killed_and_the_job_ends_all_the_same(
    cluster: FlinkCluster, corpus: Path, by_default: Path, tmp_path: Path
) -> None:
    # Given a run whose StatisticsGen is under way on both task managers
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            run_nodes, corpus, tmp_path / "killed", cluster.options, "StatisticsGen"
        )
        wait_until(lambda: running.done() or _under_way(cluster, 2), "a job is under way")
        assert not running.done(), running.result()
        # When one of them is killed
        cluster.kill("task-manager-1")
        root = running.result()

    # Then Flink started the job again, on the other one, and it ended
    jobs = cluster.jobs()
    assert [job["state"] for job in jobs] == ["FINISHED"] * 2
    assert [_restarted(cluster, job) for job in jobs] == [False, True]
    assert cluster.registered() == {"task-manager-2"}
    # And every result is the same
    assert_same_examples(root, by_default)


def _under_way(cluster: FlinkCluster, number: int) -> bool:
    """Whether part of a job is done, and both task managers are at work on the rest."""
    jobs = cluster.jobs()
    if len(jobs) < number:
        return False
    vertices = cluster.job(jobs[-1]["jid"])["vertices"]
    return any(vertex["status"] == "FINISHED" for vertex in vertices) and cluster.used_by(
        jobs[-1]["jid"]
    ) == set(cluster.task_managers)


def _restarted(cluster: FlinkCluster, job: dict[str, Any]) -> bool:
    return int(cluster.job(job["jid"])["timestamps"]["RESTARTING"]) > 0
