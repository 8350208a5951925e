"""Releases of the chart on a control plane: installed, and looked at."""

from __future__ import annotations

from typing import Any, Final

from scripts.manifests import CHART, Rendering
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.processes import controller
from tests.support.waiting import wait_until

_CLAIM: Final = "tallygraph-models"


def install(cluster: Cluster, rendering: Rendering, namespace: str) -> None:
    """Into a namespace, which is made if it is not there, with the model that users bring."""
    cluster.namespace(namespace)
    bring_model(cluster, namespace)
    cluster.helm(
        *("install", rendering.release, CHART, "--namespace", namespace),
        *rendering.values_arguments(),
    )


def bring_model(cluster: Cluster, namespace: str) -> None:
    """The claim of the model's volume, and a volume that only this claim can be bound to."""
    volume = f"{_CLAIM}-of-{namespace}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"name": _CLAIM, "namespace": namespace},
                "nfs": {"server": "files.example.com", "path": "/models"},
            },
        }
    )
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": _CLAIM, "namespace": namespace},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )


def workloads(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for plural in ("deployments", "statefulsets"):
        path = f"/apis/apps/v1/namespaces/{namespace}/{plural}"
        found += cluster.get(path)["items"]
    return found


def events(cluster: Cluster, namespace: str, *reasons: str) -> list[str]:
    items = cluster.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return [each["message"] for each in items if each["reason"] in reasons]


def all_run(cluster: Cluster, namespace: str) -> bool:
    """Whether each workload has all the pods that it wants, and they are ready."""
    for each in workloads(cluster, namespace):
        wanted, status = each["spec"]["replicas"], each["status"]
        if status.get("observedGeneration") != each["metadata"]["generation"]:
            return False
        if not wanted == status.get("replicas", 0) == status.get("readyReplicas", 0):
            return False
        if status.get("updatedReplicas", 0) != wanted:
            return False
    return all(
        each["status"].get("currentReplicas", 0) >= each["spec"]["minReplicas"]
        for each in autoscalers(cluster, namespace)
    )


def autoscalers(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    found: list[dict[str, Any]] = cluster.get(path)["items"]
    return found


def pods_of_workloads(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    pods = cluster.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return [each for each in pods if controller(each) in ("ReplicaSet", "StatefulSet")]


def wait_until_all_run(cluster: Cluster, namespace: str) -> None:
    try:
        wait_until(lambda: all_run(cluster, namespace), f"all of {namespace}", every_s=0.5)
    except AssertionError as error:
        said = events(cluster, namespace, "FailedCreate", "FailedScheduling")
        raise AssertionError(f"{error}; events: {said}") from error
