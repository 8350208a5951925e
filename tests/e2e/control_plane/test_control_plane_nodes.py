"""Where the chart's pods go, and how nodes are emptied, by Kubernetes' own scheduler.

Nodes are `kwok`'s, two in each of three zones and one with a GPU; no container runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scripts.manifests import EXAMPLES, Rendering
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.kwok import GPU_NODE, ZONES
from tests.e2e.control_plane.processes import Pod, Processes, name_of
from tests.e2e.control_plane.releases import (
    bring_model,
    events,
    install,
    pods_of_workloads,
    wait_until_all_run,
)
from tests.serving.deploy.rendered import VARIANTS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def processes(cluster: Cluster) -> Iterator[Processes]:
    with Processes(cluster) as running:
        yield running


@contextmanager
def released(cluster: Cluster, rendering: Rendering, namespace: str) -> Iterator[None]:
    """A release whose pods all run; at the end it is gone."""
    install(cluster, rendering, namespace)
    wait_until_all_run(cluster, namespace)
    yield
    cluster.helm("uninstall", rendering.release, "--namespace", namespace)
    wait_until(
        lambda: not pods_of_workloads(cluster, namespace), "no pod to be left", every_s=0.5
    )


def component(pod: Pod) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def pods_of(cluster: Cluster, namespace: str, wanted: str) -> list[Pod]:
    pods = pods_of_workloads(cluster, namespace)
    return [each for each in pods if component(each) == wanted]


def node_of(pod: Pod) -> str:
    return str(pod["spec"]["nodeName"])


def zone_of(cluster: Cluster, pod: Pod) -> str:
    labels = cluster.get(f"/api/v1/nodes/{node_of(pod)}")["metadata"]["labels"]
    return str(labels["topology.kubernetes.io/zone"])


def test_gateways_and_model_servers_are_spread_over_zones(cluster: Cluster) -> None:
    rendering = Rendering(
        (EXAMPLES / "production.yaml",),
        {
            "modelServer.autoscaling.type": "none",
            "modelServer.replicas": "3",
            "gateway.autoscaling.enabled": "false",
            "gateway.replicas": "3",
        },
    )
    with released(cluster, rendering, "spread"):
        for each in ("gateway", "model-server"):
            pods = pods_of(cluster, "spread", each)
            assert sorted(zone_of(cluster, pod) for pod in pods) == sorted(ZONES)


def test_a_model_server_with_a_gpu_is_on_the_node_that_has_one(cluster: Cluster) -> None:
    with released(cluster, VARIANTS["gpu"], "with-gpu"):
        (server,) = pods_of(cluster, "with-gpu", "model-server")
        assert node_of(server) == GPU_NODE
        (gateway,) = pods_of(cluster, "with-gpu", "gateway")
        assert node_of(gateway) != GPU_NODE  # its taint keeps others off
        # There is one GPU, and so no second such server.
        scale = ("scale", "statefulset/tallygraph-models", "--namespace", "with-gpu")
        cluster.kubectl(*scale, "--replicas=2")
        wait_until(
            lambda: any(
                "Insufficient nvidia.com/gpu" in each
                for each in events(cluster, "with-gpu", "FailedScheduling")
            ),
            "a second one not to be scheduled",
            every_s=0.5,
        )


def test_pods_wait_for_the_claim_of_the_model(cluster: Cluster) -> None:
    namespace = "unclaimed"
    text = Rendering((EXAMPLES / "minimal.yaml",), namespace=namespace, hooks=False).render()
    cluster.namespace(namespace)
    cluster.kubectl("apply", "--namespace", namespace, "-f", "-", given=text)
    wait_until(
        lambda: any(
            'persistentvolumeclaim "tallygraph-models" not found' in each
            for each in events(cluster, namespace, "FailedScheduling")
        ),
        "pods not to be scheduled without it",
        every_s=0.5,
    )
    bring_model(cluster, namespace)
    wait_until_all_run(cluster, namespace)
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/tallygraph-models"
    assert cluster.get(path)["status"]["phase"] == "Bound"
    cluster.kubectl("delete", "--namespace", namespace, "--wait=false", "-f", "-", given=text)


def evict(cluster: Cluster, pod: Pod) -> tuple[int, str]:
    """Ask that it goes, as `kubectl drain` does: the status, and what is said."""
    namespace, name = pod["metadata"]["namespace"], name_of(pod)
    answer = cluster.api.post(
        f"/api/v1/namespaces/{namespace}/pods/{name}/eviction",
        json={
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        },
    )
    return answer.status_code, answer.text


def ready_addresses(cluster: Cluster, namespace: str, service: str) -> list[str]:
    """Of a Service, as load balancers are told them."""
    found = cluster.get(
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        f"?labelSelector=kubernetes.io/service-name={service}"
    )["items"]
    return sorted(
        address
        for each in found
        for endpoint in each.get("endpoints") or []
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    )


@contextmanager
def cordoned(cluster: Cluster) -> Iterator[None]:
    """No node takes a further pod."""
    cluster.kubectl("cordon", "--selector=kubernetes.io/os=linux")
    try:
        yield
    finally:
        cluster.kubectl("uncordon", "--selector=kubernetes.io/os=linux")


@pytest.mark.parametrize("which", ["gateway", "model-server"])
def test_only_one_pod_at_a_time_is_evicted(cluster: Cluster, which: str) -> None:
    namespace = f"evicted-{which}"
    service = {"gateway": "tallygraph-gateway", "model-server": "tallygraph-models"}[which]
    with released(cluster, VARIANTS["without scalers"], namespace):
        pods = pods_of(cluster, namespace, which)
        wait_until(
            lambda: ready_addresses(cluster, namespace, service) == addresses(pods),
            "all to be endpoints",
        )
        with cordoned(cluster):
            wait_until(lambda: evict(cluster, pods[0])[0] == 201, "one to be evicted")
            wait_until(
                lambda: ready_addresses(cluster, namespace, service) == addresses(pods[1:]),
                "the evicted one to be an endpoint no more",
            )
            # Nothing takes its place, and so no other one may go.
            status, said = evict(cluster, pods[1])
            assert status == 429 and "disruption budget" in said
        wait_until_all_run(cluster, namespace)
        assert len(pods_of(cluster, namespace, which)) == len(pods)


def addresses(pods: list[Pod]) -> list[str]:
    return sorted(str(each["status"]["podIP"]) for each in pods)


def test_a_node_is_drained(cluster: Cluster) -> None:
    namespace = "drained"
    with released(cluster, VARIANTS["without scalers"], namespace):
        before = pods_of_workloads(cluster, namespace)
        node = node_of(pods_of(cluster, namespace, "gateway")[0])
        cluster.kubectl(
            *("drain", node, "--delete-emptydir-data", "--timeout=300s"),
            "--pod-selector=app.kubernetes.io/name=tallygraph",
        )
        try:
            wait_until_all_run(cluster, namespace)
            after = pods_of_workloads(cluster, namespace)
            assert len(after) == len(before)
            assert node not in {node_of(each) for each in after}
        finally:
            cluster.kubectl("uncordon", node)
