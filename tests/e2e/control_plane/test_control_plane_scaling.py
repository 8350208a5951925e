"""Kubernetes' own autoscaler lets model servers come and go: none, three, none, one and none.

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
from tests.e2e.control_plane.releases import events
from tests.e2e.control_plane.scaled_release import (
    PODS,
    TIMES,
    Story,
    scaled_rendering,
    scaled_story,
)
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
        with serving_external_metrics(cluster, metrics), running.released(RENDERING):
            yield running, metrics


def test_the_real_autoscaler_follows_the_requests(
    story: tuple[Story, ExternalMetrics],
) -> None:
    running, metrics = story
    running.follow_requests()
    # Both metrics were asked for, and said something.
    assert set(metrics.values) == set(RECORDED)
    assert all(max(values) > 0 for values in metrics.values.values())
    # It has scaled by itself, and says so.
    rescaled = events(running.cluster, NAMESPACE, "SuccessfulRescale")
    assert any(f"New size: {PODS}" in each for each in rescaled)
    assert any("New size: 0" in each for each in rescaled)
