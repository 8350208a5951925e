"""Kubernetes' own autoscaler lets model servers come and go: none, three, none, and one again.

Real: the API server, the HorizontalPodAutoscaler that the chart renders for External metrics,
its controller and the StatefulSet's, the gateway, Prometheus with the chart's recording rules,
the model servers' processes, whose small model waits for a second for each request, the ledger.
Emulated: nodes (`nodes`), for which each pod of the StatefulSet is such a process. The metrics
adapter is `external_metrics`. Ranges and windows are a fifteenth of the chart's, as in
`tests/e2e/test_scaling.py`, and a pod is to have three requests, not sixteen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests import CHART, EXAMPLES, Rendering
from serving.engines import ServerSpec
from serving.engines.base import EngineError
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.external_metrics import ExternalMetrics, serving_external_metrics
from tests.e2e.control_plane.nodes import Nodes, Pod, controller, name_of
from tests.e2e.scaled_clients import WAIT_S, Clients, check_charges
from tests.e2e.scaled_fleet import Fleet
from tests.serving.deploy.prometheus_server import Target, prometheus_server, shortened
from tests.serving.deploy.rendered import document_of
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

TIMES = 15
PODS = 3
CLIENTS = 9
NAMESPACE = "scaled"
RECORDED = {
    "tallygraph_model_requests_under_way": "tallygraph:model_requests_wanted:sum",
    "tallygraph_output_tokens_per_second": "tallygraph:output_tokens:rate2m",
}
RENDERING = Rendering(
    (EXAMPLES / "production.yaml",),
    {
        "modelServer.autoscaling.type": "external",
        "modelServer.autoscaling.minReplicas": "0",
        "modelServer.autoscaling.maxReplicas": str(PODS),
        "modelServer.autoscaling.requestsUnderWayPerPod": "3",
        "modelServer.autoscaling.behavior": json.dumps(
            {
                "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 1}]},
                "scaleDown": {
                    "stabilizationWindowSeconds": 20,
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 4}],
                },
            }
        ),
        "gateway.modelWaitS": "120",
        "gateway.terminationGraceS": "240",
    },
    namespace=NAMESPACE,
)


@dataclass
class FleetNodes:
    """Nodes on which each pod of the StatefulSet is a model server of the fleet."""

    fleet: Fleet

    def changed(self, pods: list[Pod]) -> None:
        wanted = [pod for pod in pods if is_model_server(pod) and not is_going(pod)]
        self.fleet.reconcile(1 + max((ordinal(pod) for pod in wanted), default=-1))

    def ready(self, pod: Pod) -> bool:
        if not is_model_server(pod):
            return True
        server = self.fleet.pods[ordinal(pod)].server
        if server is None:
            return False
        try:
            server.wait_until_available(0)
        except EngineError:
            return False
        return True

    def ended(self, pod: Pod) -> bool:
        return not is_model_server(pod) or self.fleet.pods[ordinal(pod)].server is None


def is_model_server(pod: Pod) -> bool:
    return controller(pod) == "StatefulSet" and pod["metadata"]["namespace"] == NAMESPACE


def is_going(pod: Pod) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def ordinal(pod: Pod) -> int:
    return int(name_of(pod).rpartition("-")[2])


@dataclass
class Story:
    """Everything that runs."""

    cluster: Cluster
    gateway: CommandGateway
    metrics: ExternalMetrics
    fleet: Fleet
    clients: Clients

    def object(self, kind: str) -> Any:
        group = "autoscaling/v2" if kind == "horizontalpodautoscalers" else "apps/v1"
        return self.cluster.get(
            f"/apis/{group}/namespaces/{NAMESPACE}/{kind}/tallygraph-models"
        )

    def wait_for_pods(self, number: int) -> None:
        """Return when the autoscaler wants so many, and so many run and serve."""

        def reached() -> bool:
            wanted = self.object("horizontalpodautoscalers")["status"]["desiredReplicas"]
            status = self.object("statefulsets")["status"]
            servers = self.gateway.model_servers().json()["model_servers"]
            return (
                wanted
                == status.get("readyReplicas", 0)
                == status.get("replicas", 0)
                == self.fleet.running()
                == sum(each["healthy"] for each in servers)
                == number
            )

        wait_until(reached, f"{number} pods; {self.why()}", every_s=0.5)

    def why(self) -> str:
        said = self.object("horizontalpodautoscalers")["status"].get("conditions", [])
        return "; ".join(f"{each['type']}={each['status']}: {each['message']}" for each in said)


@pytest.fixture
def story(cluster: Cluster, tmp_path: Path) -> Iterator[Story]:
    from tests.support.metered_model import export_metered_version

    models = tmp_path / "summarizer"
    export_metered_version(models / "7", takes_s=1.0)
    with WarmEngine().start(ServerSpec.single("summarizer", models)) as warm:
        warm.wait_until_available(300)
    (tmp_path / "prometheus").mkdir()
    pod = document_of(RENDERING, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    fleet = Fleet.of(models, PODS, pod["lifecycle"]["preStop"]["sleep"]["seconds"] / TIMES)
    groups = document_of(RENDERING, "PrometheusRule")["spec"]["groups"]
    rules = [
        {**rule, "expr": shortened(rule["expr"], TIMES)}
        for group in groups
        for rule in group["rules"]
        if rule.get("record") in RECORDED.values()
    ]
    on_nodes = FleetNodes(fleet)
    with command_gateway(
        tmp_path, models, fleet.urls, "--model-wait-s", str(WAIT_S), until="/readyz"
    ) as gateway:
        address = gateway.process.admin_url.removeprefix("http://")
        with prometheus_server(
            tmp_path / "prometheus",
            [Target("gateway", "gateway-0", address)],
            namespace=NAMESPACE,
            every_ms=1000,
            rules=[{"name": "recorded", "rules": rules}],
        ) as prometheus:
            metrics = ExternalMetrics(prometheus, RECORDED)
            nodes = Nodes(cluster, on_nodes.ready, on_nodes.ended, on_nodes.changed)
            try:
                with serving_external_metrics(cluster, metrics), nodes:
                    cluster.namespace(NAMESPACE)
                    cluster.helm(
                        *("install", RENDERING.release, CHART, "--namespace", NAMESPACE),
                        *RENDERING.values_arguments(),
                    )
                    yield Story(
                        cluster, gateway, metrics, fleet, Clients(gateway, gateway.key())
                    )
            finally:
                fleet.close()


def test_the_real_autoscaler_follows_the_requests(story: Story) -> None:
    # Given a release that nobody asks: the one pod that a StatefulSet begins with goes.
    story.wait_for_pods(0)
    # When many ask at once, the first ones wait for the first pod, and others follow.
    with story.clients.asking(CLIENTS):
        story.wait_for_pods(PODS)
    # When nobody asks, none is; and the next request starts one.
    story.wait_for_pods(0)
    story.clients.ask_once()
    story.wait_for_pods(0)
    check_charges(story.gateway, story.clients)
    assert len(story.clients.answers) > CLIENTS
    # Both metrics were asked for, and said something.
    assert set(story.metrics.values) == set(RECORDED)
    assert all(max(values) > 0 for values in story.metrics.values.values())
    # It has scaled by itself, and says so.
    said = story.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
    rescaled = [each["message"] for each in said if each["reason"] == "SuccessfulRescale"]
    assert any(f"New size: {PODS}" in each for each in rescaled)
    assert any("New size: 0" in each for each in rescaled)
