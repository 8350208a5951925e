"""A release whose model servers are processes, and clients that ask for them: for autoscalers.

Real: the API server, the controllers of the autoscaler and of the StatefulSet, the scheduler,
the gateway, Prometheus, the model servers' processes, whose small model waits for a second for
each request, the ledger. Nodes are `kwok`'s: a pod of the StatefulSet is ready when its process
is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.manifests import EXAMPLES, Rendering
from serving.engines import ServerSpec
from serving.engines.base import EngineError
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.kwok import STANDS_FOR_PROCESS
from tests.e2e.control_plane.processes import Pod, Processes, State, is_bound, is_going, name_of
from tests.e2e.control_plane.releases import install
from tests.e2e.scaled_clients import WAIT_S, Clients, check_charges
from tests.e2e.scaled_fleet import Fleet
from tests.serving.deploy.prometheus_server import (
    PrometheusServer,
    Target,
    prometheus_server,
)
from tests.serving.deploy.rendered import document_of
from tests.support.command_gateway import CommandGateway, command_gateway
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

# How many times shorter than the chart's the times are that a test says are shorter.
TIMES: Final = 15
PODS: Final = 3
CLIENTS: Final = 9
_BEHAVIOR: Final = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 1}]},
    "scaleDown": {
        "stabilizationWindowSeconds": 20,
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 4}],
    },
}


def scaled_rendering(
    namespace: str, files: Sequence[str], sets: Mapping[str, str]
) -> Rendering:
    """The chart with some of its examples: up to three model servers, each with 3 requests."""
    scaling = "modelServer.autoscaling"
    return Rendering(
        tuple(EXAMPLES / name for name in files),
        {
            f"{scaling}.minReplicas": "0",
            f"{scaling}.maxReplicas": str(PODS),
            f"{scaling}.requestsUnderWayPerPod": "3",
            f"{scaling}.behavior": json.dumps(_BEHAVIOR),
            "modelServer.podAnnotations": json.dumps({STANDS_FOR_PROCESS: "true"}),
            "gateway.modelWaitS": "120",
            "gateway.terminationGraceS": "240",
            **sets,
        },
        namespace=namespace,
    )


def ordinal(pod: Pod) -> int:
    return int(name_of(pod).rpartition("-")[2])


@dataclass(frozen=True)
class FleetProcesses:
    """The fleet's model servers as what the StatefulSet's pods stand for."""

    fleet: Fleet

    def reconcile(self, pods: list[Pod]) -> dict[str, State]:
        wanted = [pod for pod in pods if is_bound(pod) and not is_going(pod)]
        self.fleet.reconcile(1 + max((ordinal(pod) for pod in wanted), default=-1))
        return {name_of(pod): self._state(pod) for pod in pods}

    def _state(self, pod: Pod) -> State:
        server = self.fleet.pods[ordinal(pod)].server
        if server is None:
            return "ended" if is_going(pod) else None
        try:
            server.wait_until_available(0)
        except EngineError:
            return None if not is_going(pod) else "serves"
        return "serves"


@dataclass
class Story:
    """Everything that runs.

    Attributes:
      autoscaler: the name of the HorizontalPodAutoscaler.
    """

    cluster: Cluster
    namespace: str
    autoscaler: str
    gateway: CommandGateway
    prometheus: PrometheusServer
    fleet: Fleet
    clients: Clients

    def get(self, group: str, kind: str, name: str) -> Any:
        return self.cluster.get(f"/apis/{group}/namespaces/{self.namespace}/{kind}/{name}")

    def horizontal_autoscaler(self) -> Any:
        return self.get("autoscaling/v2", "horizontalpodautoscalers", self.autoscaler)

    def stateful_set(self) -> Any:
        return self.get("apps/v1", "statefulsets", "tallygraph-models")

    def wait_for_pods(self, number: int) -> None:
        """Return when so many are wanted, and so many run and serve."""

        def reached() -> bool:
            set_ = self.stateful_set()
            servers = self.gateway.model_servers().json()["model_servers"]
            return (
                set_["spec"]["replicas"]
                == set_["status"].get("readyReplicas", 0)
                == set_["status"].get("replicas", 0)
                == self.fleet.running()
                == sum(each["healthy"] for each in servers)
                == number
            )

        try:
            wait_until(reached, f"{number} pods", every_s=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.why()}") from error

    def wait_until_gone(self) -> None:
        """Return when no pod is left, and so no process."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        wait_until(
            lambda: not self.cluster.get(path)["items"], "no pod to be left", every_s=0.5
        )

    @contextmanager
    def released(self, rendering: Rendering) -> Iterator[None]:
        """A release whose pods are the fleet's processes; at the end, all of them are gone."""
        with Processes(self.cluster, FleetProcesses(self.fleet).reconcile):
            install(self.cluster, rendering, self.namespace)
            yield
            self.cluster.helm("uninstall", rendering.release, "--namespace", self.namespace)
            self.wait_until_gone()

    def follow_requests(self, while_all_run: Callable[[], None] = lambda: None) -> None:
        """Nobody asks, many do, nobody, one, nobody: pods are none, all, none, one, none.

        Every request is answered, and the ledger has one charge for each.

        Args:
          while_all_run: called while as many ask.
        """
        # The one pod that a StatefulSet begins with goes.
        self.wait_for_pods(0)
        # The first ones wait for the first pod, and others follow.
        with self.clients.asking(CLIENTS):
            self.wait_for_pods(PODS)
            while_all_run()
        self.wait_for_pods(0)
        self.clients.ask_once()
        self.wait_for_pods(0)
        check_charges(self.gateway, self.clients)
        assert len(self.clients.answers) > CLIENTS

    def why(self) -> str:
        """What the autoscaler says of itself, and which pods there are."""
        said = self.horizontal_autoscaler()["status"].get("conditions", [])
        pods = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        states = {name_of(each): each["status"].get("phase") for each in pods}
        words = [f"{each['type']}={each['status']}: {each['message']}" for each in said]
        return "; ".join([*words, f"pods {states}, {self.fleet.running()} processes"])


@contextmanager
def scaled_story(
    cluster: Cluster,
    folder: Path,
    rendering: Rendering,
    autoscaler: str,
    rules: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Story]:
    """A gateway, a Prometheus that scrapes it each second, and a fleet of which none runs.

    Args:
      folder: for their files.
      rules: what the Prometheus records.
    """
    from tests.support.metered_model import export_metered_version

    models = folder / "summarizer"
    export_metered_version(models / "7", takes_s=1.0)
    with WarmEngine().start(ServerSpec.single("summarizer", models)) as warm:
        warm.wait_until_available(300)
    (folder / "prometheus").mkdir()
    pod = document_of(rendering, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    fleet = Fleet.of(models, PODS, pod["lifecycle"]["preStop"]["sleep"]["seconds"] / TIMES)
    try:
        with command_gateway(
            folder, models, fleet.urls, "--model-wait-s", str(WAIT_S), until="/readyz"
        ) as gateway:
            address = gateway.process.admin_url.removeprefix("http://")
            with prometheus_server(
                folder / "prometheus",
                [Target("gateway", "gateway-0", address)],
                namespace=rendering.namespace,
                every_ms=1000,
                rules=[{"name": "recorded", "rules": list(rules)}] if rules else [],
            ) as prometheus:
                yield Story(
                    cluster,
                    rendering.namespace,
                    autoscaler,
                    gateway,
                    prometheus,
                    fleet,
                    Clients(gateway, gateway.key()),
                )
    finally:
        fleet.close()
