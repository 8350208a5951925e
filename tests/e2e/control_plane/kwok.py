"""Nodes, and what happens to pods on them, by kwok: https://kwok.sigs.k8s.io.

The nodes are objects of the API server's that kwok keeps alive, with leases; pods are bound to
them by Kubernetes' own scheduler. No container runs. A pod that stands for a process of this
machine (`processes`) goes from one phase to the next when that process does; any other pod is
ready as soon as it is bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import yaml

from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.programs import MADE, need, running
from tests.support.waiting import wait_until

Node = dict[str, Any]

# A pod of a workload stands for a process if its template has this annotation; a job's always.
STANDS_FOR_PROCESS: Final = "tallygraph.test/stands-for-process"
# What the process does: see `processes.State`.
STATE: Final = "tallygraph.test/state"
ZONES: Final = ("zone-a", "zone-b", "zone-c")
GPU_NODE: Final = "gpu-0"

_ANY: Final = "any"
_STATE_OF: Final = (
    f'if .metadata.annotations["{STANDS_FOR_PROCESS}"] == "true"'
    ' or .metadata.ownerReferences[0].kind == "Job"'
    f' then .metadata.annotations["{STATE}"] // "none" else "{_ANY}" end'
)


@contextmanager
def nodes(cluster: Cluster) -> Iterator[None]:
    """Two nodes in each of three zones, and one with a GPU, until the context is left."""
    need("kwok")
    stages = cluster.folder / "stages.yaml"
    stages.write_text(yaml.safe_dump_all(_stages()), encoding="utf-8")
    with running(
        cluster.folder,
        "kwok",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes",
        "--node-lease-duration-seconds=40",
        "--cidr=10.244.0.0/16",
    ) as process:
        names = []
        for node in _nodes():
            made = cluster.api.post("/api/v1/nodes", json=node)
            assert made.status_code == 201, made.text
            names.append(node["metadata"]["name"])
        wait_until(
            lambda: all(_is_ready(cluster, name) for name in names),
            f"the nodes to be ready, see {cluster.folder / 'kwok.log'}",
            process.poll,
            0.2,
        )
        yield


def _is_ready(cluster: Cluster, name: str) -> bool:
    """Whether pods can be bound to it: it is ready, and what marks a new one is off it."""
    node = cluster.get(f"/api/v1/nodes/{name}")
    conditions = {each["type"]: each["status"] for each in node["status"].get("conditions", [])}
    new = any(
        each["key"].startswith("node.kubernetes.io/") for each in node["spec"].get("taints", [])
    )
    return conditions.get("Ready") == "True" and not new


def _nodes() -> list[Node]:
    found = [
        _node(f"{zone}-{number}", zone, {"cpu": "8", "memory": "32Gi"})
        for zone in ZONES
        for number in range(2)
    ]
    gpu = _node(GPU_NODE, ZONES[0], {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"})
    # As NVIDIA's operator marks one.
    gpu["metadata"]["labels"]["nvidia.com/gpu.present"] = "true"
    gpu["spec"]["taints"] = [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]
    return [*found, gpu]


def _node(name: str, zone: str, has: dict[str, str]) -> Node:
    resources = {**has, "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": {},
        "status": {"capacity": resources, "allocatable": resources},
    }


def _stages() -> list[dict[str, Any]]:
    """kwok's own, for which a pod that stands for a process waits for that process."""
    ready = _stage("pod/fast/pod-ready", _ANY, "serves", "succeeded", "failed")
    complete = _stage("pod/fast/pod-complete", "succeeded")
    failed = _stage("pod/fast/pod-complete", "failed")
    failed["metadata"]["name"] = "pod-failed"
    template = failed["spec"]["next"]["statusTemplate"]
    for what, instead in {
        "exitCode: 0": "exitCode: 1",
        "Completed": "Error",
        "Succeeded": "Failed",
    }.items():
        assert what in template, f"kwok's stage pod-complete has no {what!r}: {template}"
        template = template.replace(what, instead)
    failed["spec"]["next"]["statusTemplate"] = template
    return [
        _stage("node/fast/node-initialize"),
        _stage("node/heartbeat-with-lease/node-heartbeat-with-lease"),
        ready,
        complete,
        failed,
        _stage("pod/fast/pod-delete", _ANY, "none", "succeeded", "failed", "ended"),
    ]


def _stage(name: str, *states: str) -> dict[str, Any]:
    """One of kwok's; if states are given, only for pods in one of these."""
    text = (MADE / f"kwok-stages/{name}.yaml").read_text(encoding="utf-8")
    stage: dict[str, Any] = yaml.safe_load(text)
    if states:
        only = {"key": _STATE_OF, "operator": "In", "values": list(states)}
        stage["spec"]["selector"]["matchExpressions"].append(only)
    return stage
