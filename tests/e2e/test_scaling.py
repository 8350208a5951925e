"""Model servers that come and go with the requests: none, three, one, none, and one again.

It is an emulation of the controller, not a cluster. Real: the gateway's process and its
metrics, Prometheus, which scrapes them, the chart's expressions, as Helm renders them, the
model servers' processes, whose small model waits for a second for each request, and the
ledger. Emulated: KEDA, the HorizontalPodAutoscaler and the StatefulSet, by `pod_autoscaler`
and `scaled_fleet`, which follow their documentation. Not shown: scheduling, images, endpoints,
how long a node takes to come.

To be through in minutes, all of the controller's times and the ranges of the expressions are a
fifteenth of the chart's, and a pod is to have three requests, not sixteen. What a server takes
to start, and a request to be answered, is what it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scripts.manifests import EXAMPLES, Rendering
from serving.billing.savings import SECONDS_A_MONTH, Renting, savings, told
from serving.engines import ServerSpec
from serving.ledger import schema
from tests.e2e.pod_autoscaler import Autoscaler, Scaling
from tests.e2e.scaled_clients import WAIT_S, Clients, check_charges
from tests.e2e.scaled_fleet import Controller, Fleet
from tests.serving.deploy.prometheus_server import (
    PrometheusServer,
    Target,
    prometheus_server,
    shortened,
)
from tests.serving.deploy.rendered import document_of
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

TIMES = 15
"""So many times faster than on a cluster the controller's time goes."""
PODS = 3
CLIENTS = 9
PER_POD = 3
TAKES_S = 1.0
"""Of a request, in the model. A server does one after the other."""
NAMESPACE = "summaries"


def until(reached: Callable[[], object], what: str) -> None:
    """Wait for a state, for as long as a busy machine may take to start a server."""
    wait_until(reached, what, every_s=0.2)


@dataclass
class Story:
    """Everything that runs."""

    gateway: CommandGateway
    prometheus: PrometheusServer
    controller: Controller
    clients: Clients

    def servers(self) -> list[dict[str, Any]]:
        """Model servers as the gateway last heard of them."""
        servers: list[dict[str, Any]] = self.gateway.model_servers().json()["model_servers"]
        return servers

    def wait_for_pods(self, number: int) -> None:
        """Return when so many pods are decided, run, and are known to the gateway to serve."""
        fleet = self.controller.fleet

        def reached() -> bool:
            if self.controller.replicas() != number or fleet.running() != number:
                return False
            return sum(each["healthy"] for each in self.servers()) == number

        until(reached, f"{number} pods")

    def wait_for_decisions(self, more: int) -> None:
        goal = len(self.controller.decisions) + more
        until(
            lambda: self.controller.replicas() >= 0 and len(self.controller.decisions) >= goal,
            f"{more} more decisions",
        )


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A gateway that is scraped, and no model server."""
    from tests.support.metered_model import export_metered_version

    models = tmp_path / "summarizer"
    export_metered_version(models / "7", takes_s=TAKES_S)
    # Servers are forks of one that has imported TensorFlow, as a pod's image is on its node.
    with WarmEngine().start(ServerSpec.single("summarizer", models)) as warm:
        warm.wait_until_available(300)
    (tmp_path / "prometheus").mkdir()
    rendering = Rendering(
        (EXAMPLES / "production.yaml", EXAMPLES / "scale-to-zero.yaml"),
        {
            "modelServer.autoscaling.maxReplicas": str(PODS),
            "modelServer.autoscaling.requestsUnderWayPerPod": str(PER_POD),
        },
        namespace=NAMESPACE,
    )
    scaling = Scaling.of(document_of(rendering, "ScaledObject"))
    pod = document_of(rendering, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    pre_stop_s = pod["lifecycle"]["preStop"]["sleep"]["seconds"]
    interval = document_of(rendering, "ServiceMonitor", "gateway")["spec"]["endpoints"][0]
    every_ms = int(interval["interval"].removesuffix("s")) * 1000 // TIMES
    fleet = Fleet.of(models, PODS, pre_stop_s / TIMES)
    with command_gateway(
        tmp_path, models, fleet.urls, "--model-wait-s", str(WAIT_S), until="/readyz"
    ) as gateway:
        target = Target(
            "gateway", "gateway-0", gateway.process.admin_url.removeprefix("http://")
        )
        with prometheus_server(
            tmp_path / "prometheus", [target], namespace=NAMESPACE, every_ms=every_ms
        ) as prometheus:
            prometheus.wait_until_scraped(target)
            expressions = [shortened(each.query, TIMES) for each in scaling.triggers]
            controller = Controller(
                Autoscaler(scaling),
                fleet,
                lambda: [prometheus.number(each) for each in expressions],
                TIMES,
            )
            with controller:
                clients = Clients(gateway, gateway.key())
                yield Story(gateway, prometheus, controller, clients)


def test_servers_follow_the_requests_and_each_is_answered_and_charged_once(
    story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    # Given a release that nobody asks: Prometheus knows that, and no pod is started.
    story.wait_for_decisions(5)
    assert story.controller.replicas() == story.controller.fleet.running() == 0
    assert story.controller.decisions[-1].values == [0, 0, 0]

    # When many ask at once, the first ones wait for the first pod, and others follow.
    surge = time.monotonic()
    with story.clients.asking(CLIENTS):
        until(lambda: any(each["healthy"] for each in story.servers()), "the first pod")
        awake = time.monotonic()
        story.wait_for_pods(PODS)
        until(
            lambda: all(each["requests_under_way"] for each in story.servers()),
            "each pod has requests",
        )
    # When one is left, one pod is.
    with story.clients.asking(1):
        story.wait_for_pods(1)
    # When nobody asks, none is; and the next request starts one.
    story.wait_for_pods(0)
    story.clients.ask_once()
    story.wait_for_pods(1)

    lasted_s = time.monotonic() - began
    used_s = story.controller.fleet.used_s()
    check_charges(story.gateway, story.clients)
    # Each of the chart's expressions has said something.
    said = zip(*(each.values for each in story.controller.decisions), strict=True)
    assert all(max(values) > 0 for values in said)
    woke = [took for sent, took, _ in story.clients.answers if surge <= sent < awake]
    assert len(woke) >= CLIENTS
    with capsys.disabled():
        print_story(story, woke)
        print_cost(story, lasted_s, used_s)


def print_story(story: Story, woke: list[float]) -> None:
    print(f"\nThe controller's time goes {TIMES} times faster than a cluster's, in seconds:")
    before = 0
    names = [each.name for each in story.controller.scaler.scaling.triggers]
    for each in story.controller.decisions:
        if each.replicas != before:
            values = ", ".join(
                f"{name} {value:.1f}" for name, value in zip(names, each.values, strict=True)
            )
            print(f"  {each.at_s:6.0f}  {before} -> {each.replicas} pods  ({values})")
            before = each.replicas
    woke_p95 = statistics.quantiles(woke, n=20, method="inclusive")[-1]
    print(
        f"{len(story.clients.answers)} requests, all answered, each charged once. {len(woke)} "
        f"were sent while no pod was up: half of them took {statistics.median(woke):.1f} s, "
        f"95 % at most {woke_p95:.1f} s (real seconds, and servers that need not import "
        "TensorFlow)."
    )


def print_cost(story: Story, lasted_s: float, used_s: float) -> None:
    """What the pods cost that ran, and what a fleet does that always runs, for a month of
    such stories."""
    with story.gateway.engine.connect() as connection:
        columns = schema.entries.c
        total = sa.select(
            sa.func.sum(columns.input_tokens + columns.output_tokens),
            sa.func.sum(columns.amount_micro),
            sa.func.count(),
        )
        tokens, micro, requests = connection.execute(total).one()
    tokens_per_second = tokens / requests / TAKES_S
    use = tokens / (tokens_per_second * used_s)
    renting = Renting(300.0, tokens_per_second, use, at_least=0.0)
    again = SECONDS_A_MONTH / lasted_s
    result = savings(round(tokens * again), round(micro * again), renting)
    # Pods come and go by the second: their cost is that of the pod-hours that were counted.
    assert result.autoscaled == pytest.approx(300.0 * used_s / lasted_s, rel=0.001)
    assert result.autoscaled < 300.0 * PODS
    hours, always = used_s * TIMES / 3600, PODS * lasted_s * TIMES / 3600
    print(
        f"{hours:.2f} pod-hours at the cluster's pace, of the {always:.2f} of {PODS} pods that "
        f"always run ({hours / always:.0%}); {use:.0%} of them in the model. A month of it, at "
        f"300 EUR a pod; {PODS} pods that always run cost {300 * PODS}:"
    )
    for line in told(result, renting, "EUR", "such a month"):
        print(f"  {line}")
