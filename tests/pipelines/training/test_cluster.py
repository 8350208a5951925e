"""TF_CONFIG: which worker this is, and what is refused."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from pipelines.training.cluster import Cluster, ClusterError


def environment(kind: str, index: int, **jobs: list[str]) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def test_the_first_worker_is_the_chief_where_none_is_named() -> None:
    for index in (0, 1):
        cluster = Cluster.from_environment(
            environment("worker", index, worker=["a:1", "b:2"]), expected=2
        )
        assert cluster.addresses == ("a:1", "b:2")
        assert (cluster.index, cluster.is_chief) == (index, index == 0)


def test_a_chief_comes_before_the_workers() -> None:
    jobs = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    places = [("chief", 0), ("worker", 0), ("worker", 1)]
    found = [
        Cluster.from_environment(environment(kind, i, **jobs), expected=3).index
        for kind, i in places
    ]
    assert found == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}'])
def test_without_a_cluster_there_is_none(text: str) -> None:
    assert Cluster.from_environment({"TF_CONFIG": text}, expected=1) is None


def test_a_cluster_on_this_machine_is_read_back_by_each() -> None:
    cluster = Cluster.on_this_machine([2001, 2002, 2003])
    assert cluster[0].addresses == ("127.0.0.1:2001", "127.0.0.1:2002", "127.0.0.1:2003")
    for each in cluster:
        assert Cluster.from_environment({"TF_CONFIG": each.config}, expected=3) == each


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TF_CONFIG": "worker=2"}, "must be JSON.*'worker=2'"),
        ({"TF_CONFIG": "[1]"}, "must be JSON"),
        (environment("worker", 2, worker=["a:1", "b:2"]), "task is not of its cluster"),
        (environment("evaluator", 0, worker=["a:1", "b:2"]), "task is not of its cluster"),
        (environment("worker", 0, worker=["a:1"], ps=["b:2"]), "no parameter servers"),
        (environment("worker", 0, worker=["a:1"]), "names 1 workers.*training.workers is 2"),
        (
            {"TF_CONFIG": '{"sparseCluster": {"worker": {"1": "b:2"}, "ps": []}, "task": {}}'},
            "sparse cluster.*Remove enableDynamicWorker",
        ),
    ],
)
def test_what_cannot_train_together_is_refused(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        Cluster.from_environment(variables, expected=2)


def test_a_worker_waits_until_its_chief_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        address = chosen.getsockname()
    cluster = Cluster((f"{address[0]}:{address[1]}", "b:2"), 1, "")
    waiting = threading.Thread(target=cluster.wait_for_chief, daemon=True)
    waiting.start()
    waiting.join(timeout=0.1)
    assert waiting.is_alive()

    with socket.create_server(address):
        waiting.join(timeout=60)

    assert not waiting.is_alive()
