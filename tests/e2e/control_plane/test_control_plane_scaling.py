"""Kubernetes' own autoscaler lets model servers come and go: none, three, none, and one again.

The HorizontalPodAutoscaler is the one that the chart renders for External metrics. What is real
besides: `scaled_release`. The metrics adapter is `external_metrics`; Prometheus has the chart's
recording rules. Ranges and windows are a fifteenth of the chart's, as in
`tests/e2e/test_scaling.py`, and a pod is to have three requests, not sixteen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.external_metrics import ExternalMetrics, serving_external_metrics
from tests.e2e.control_plane.processes import Processes
from tests.e2e.control_plane.releases import events, install
from tests.e2e.control_plane.scaled_release import (
    CLIENTS,
    PODS,
    TIMES,
    FleetProcesses,
    Story,
    scaled_rendering,
    scaled_story,
)
from tests.e2e.scaled_clients import check_charges
from tests.serving.deploy.prometheus_server import shortened
from tests.serving.deploy.rendered import document_of

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

NAMESPACE = "scaled"
RECORDED = {
    "tallygraph_model_requests_under_way": "tallygraph:model_requests_wanted:sum",
    "tallygraph_output_tokens_per_second": "tallygraph:output_tokens:rate2m",
}
RENDERING = scaled_rendering(
    NAMESPACE, ["production.yaml"], {"modelServer.autoscaling.type": "external"}
)


@pytest.fixture
def story(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Story, ExternalMetrics]]:
    groups = document_of(RENDERING, "PrometheusRule")["spec"]["groups"]
    rules = [
        {**rule, "expr": shortened(rule["expr"], TIMES)}
        for group in groups
        for rule in group["rules"]
        if rule.get("record") in RECORDED.values()
    ]
    with scaled_story(cluster, tmp_path, RENDERING, "tallygraph-models", rules) as running:
        metrics = ExternalMetrics(running.prometheus, RECORDED)
        processes = Processes(cluster, FleetProcesses(running.fleet).reconcile)
        with serving_external_metrics(cluster, metrics), processes:
            install(cluster, RENDERING, NAMESPACE)
            yield running, metrics
            cluster.helm("uninstall", RENDERING.release, "--namespace", NAMESPACE)
            running.wait_until_gone()


def test_the_real_autoscaler_follows_the_requests(
    story: tuple[Story, ExternalMetrics],
) -> None:
    running, metrics = story
    # Given a release that nobody asks: the one pod that a StatefulSet begins with goes.
    running.wait_for_pods(0)
    # When many ask at once, the first ones wait for the first pod, and others follow.
    with running.clients.asking(CLIENTS):
        running.wait_for_pods(PODS)
    # When nobody asks, none is; and the next request starts one.
    running.wait_for_pods(0)
    running.clients.ask_once()
    running.wait_for_pods(0)
    check_charges(running.gateway, running.clients)
    assert len(running.clients.answers) > CLIENTS
    # Both metrics were asked for, and said something.
    assert set(metrics.values) == set(RECORDED)
    assert all(max(values) > 0 for values in metrics.values.values())
    # It has scaled by itself, and says so.
    rescaled = events(running.cluster, NAMESPACE, "SuccessfulRescale")
    assert any(f"New size: {PODS}" in each for each in rescaled)
    assert any("New size: 0" in each for each in rescaled)
