"""KEDA lets model servers come and go: none, three, none, one and none.

The ScaledObject is the chart's, as production.yaml and scale-to-zero.yaml make it; its
expressions and their ranges are as they are. KEDA's operator makes the HorizontalPodAutoscaler
of it, asks a real Prometheus, and starts the first pod and stops the last one; its metrics
adapter answers the autoscaler through the API server. What is real besides: `scaled_release`.
By the chart's values, a pod is to have three requests, not sixteen, and pods go sooner.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.keda import keda
from tests.e2e.control_plane.releases import events
from tests.e2e.control_plane.scaled_release import (
    CLIENTS,
    PODS,
    Story,
    scaled_rendering,
    scaled_story,
)
from tests.e2e.scaled_clients import check_charges
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3600)]

NAMESPACE = "scaled-by-keda"
FILES = ["production.yaml", "scale-to-zero.yaml"]
TRIGGERS = 3


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("keda")
    rendering = scaled_rendering(NAMESPACE, FILES, {})
    with scaled_story(cluster, folder, rendering, "keda-hpa-tallygraph-models") as running:
        scaling = "modelServer.autoscaling"
        sets = {
            # Longer than KEDA takes to fall back: else it may take all for idle meanwhile.
            f"{scaling}.idleS": "45",
            f"{scaling}.keda.fallback.failures": "1",
            f"{scaling}.keda.pollingS": "1",
            f"{scaling}.keda.prometheusUrl": running.prometheus.url,
        }
        rendering = scaled_rendering(NAMESPACE, FILES, sets)
        with keda(cluster, NAMESPACE):
            with running.released(rendering):
                yield running
            wait_until(lambda: not scaled_objects(running), "KEDA to let go of it", every_s=0.2)


def test_keda_follows_the_requests(story: Story) -> None:
    story.follow_requests(while_all_run=lambda: check_all_run(story))
    wait_for_conditions(story, Ready="True", Active="False", Fallback="False")
    # The first pod and the last one are KEDA's own work; those between are the autoscaler's.
    done = {
        reason: events(story.cluster, NAMESPACE, reason)
        for reason in (
            "KEDAScaleTargetActivated",
            "KEDAScaleTargetDeactivated",
            "SuccessfulRescale",
        )
    }
    assert all(done.values()), done
    assert any(f"New size: {PODS}" in each for each in done["SuccessfulRescale"])


def test_keda_starts_a_pod_while_prometheus_does_not_answer(story: Story) -> None:
    story.wait_for_pods(0)
    with story.prometheus.silent():
        # As many as the example's `fallback` says.
        story.wait_for_pods(1)
        wait_for_conditions(story, Fallback="True")
    story.wait_for_pods(0)
    wait_for_conditions(story, Ready="True", Active="False", Fallback="False")


def test_keda_takes_no_pod_away_while_prometheus_does_not_answer(story: Story) -> None:
    with story.clients.asking(CLIENTS):
        story.wait_for_pods(PODS)
        with story.prometheus.silent():
            wait_for_conditions(story, Fallback="True")
            # What the autoscaler is told is what asks for as many pods as there are.
            wait_until(lambda: values(story) == targets(story), "the fallback", every_s=0.2)
            story.wait_for_pods(PODS)
    story.wait_for_pods(0)
    wait_for_conditions(story, Ready="True", Active="False", Fallback="False")
    check_charges(story.gateway, story.clients)


def check_all_run(story: Story) -> None:
    """The autoscaler is KEDA's, and has a value of each trigger from KEDA's adapter."""
    wait_for_conditions(story, Ready="True", Active="True", Fallback="False")
    found = story.horizontal_autoscaler()
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ScaledObject", "tallygraph-models")
    wanted = targets(story).keys()
    assert len(wanted) == TRIGGERS
    wait_until(lambda: values(story).keys() == wanted, f"values of {wanted}", every_s=0.5)


def targets(story: Story) -> dict[str, str]:
    """For each pod, by the metric, as the autoscaler has them of KEDA."""
    found = story.horizontal_autoscaler()["spec"]["metrics"]
    return {
        each["external"]["metric"]["name"]: each["external"]["target"]["averageValue"]
        for each in found
    }


def values(story: Story) -> dict[str, str]:
    """For each pod, by the metric, of those that the autoscaler could read last."""
    found = story.horizontal_autoscaler()["status"].get("currentMetrics") or []
    return {
        each["external"]["metric"]["name"]: each["external"]["current"]["averageValue"]
        for each in found
        if "external" in each
    }


def scaled_objects(story: Story) -> list[dict[str, object]]:
    path = f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects"
    found: list[dict[str, object]] = story.cluster.get(path)["items"]
    return found


def wait_for_conditions(story: Story, **wanted: str) -> None:
    """Return when the ScaledObject says so of itself."""

    def reached() -> bool:
        found = story.get("keda.sh/v1alpha1", "scaledobjects", "tallygraph-models")
        said = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return {name: said.get(name) for name in wanted} == wanted

    wait_until(reached, f"conditions {wanted}", every_s=0.2)
