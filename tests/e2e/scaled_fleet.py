"""Model servers as processes, as many as an autoscaler decides on what Prometheus says.

In place of a StatefulSet, KEDA and the HorizontalPodAutoscaler: see `pod_autoscaler`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from serving.engines import RunningServer, ServerSpec
from serving.engines.base import HeldPorts
from tests.e2e.pod_autoscaler import Autoscaler
from tests.support.repeating import Repeating
from tests.support.warm_model_server import WarmEngine


@dataclass
class Pod:
    """One ordinal of the set: its server, if it has one.

    Attributes:
      ends_at: when its server gets SIGTERM; None while it is wanted.
      seconds: that servers of it ran, those of earlier starts included.
    """

    spec: ServerSpec
    server: RunningServer | None = None
    started_at: float = 0.0
    ends_at: float | None = None
    seconds: float = 0.0

    def start(self) -> None:
        self.server = WarmEngine().start(self.spec)
        self.started_at = time.monotonic()
        self.ends_at = None

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.seconds += time.monotonic() - self.started_at
            self.server = None

    def used_s(self) -> float:
        running = self.server is not None
        return self.seconds + (time.monotonic() - self.started_at if running else 0.0)


@dataclass
class Fleet:
    """The pods, in the order of their ordinals: the last ones go first.

    Attributes:
      pre_stop_s: for which a pod that is to go still serves.
    """

    pods: list[Pod]
    ports: HeldPorts
    pre_stop_s: float

    @classmethod
    def of(cls, models: Path, size: int, pre_stop_s: float) -> Self:
        """A fleet of which no server runs; its ports are held for it."""
        ports = HeldPorts(2 * size)
        spec = ServerSpec.single("summarizer", models)
        pods = [
            Pod(replace(spec, grpc_port=grpc, rest_port=rest))
            for grpc, rest in zip(ports.numbers[::2], ports.numbers[1::2], strict=True)
        ]
        return cls(pods, ports, pre_stop_s)

    @property
    def urls(self) -> list[str]:
        return [f"grpc://127.0.0.1:{pod.spec.grpc_port}" for pod in self.pods]

    def running(self) -> int:
        """Servers that run, ready or not."""
        return sum(pod.server is not None for pod in self.pods)

    def reconcile(self, replicas: int) -> None:
        """Start what is missing, and stop what is not wanted any more and has had its time."""
        now = time.monotonic()
        for ordinal, pod in enumerate(self.pods):
            if pod.server is None:
                if ordinal < replicas:
                    pod.start()
            elif pod.ends_at is not None:
                # It goes, also when it is wanted again meanwhile: another one comes then.
                if now >= pod.ends_at:
                    pod.stop()
            elif ordinal >= replicas:
                pod.ends_at = now + self.pre_stop_s

    def close(self) -> None:
        for pod in self.pods:
            pod.stop()
        self.ports.close()

    def used_s(self) -> float:
        """Pod-seconds since the beginning."""
        return sum(pod.used_s() for pod in self.pods)


@dataclass(frozen=True)
class Decision:
    at_s: float
    values: list[float]
    replicas: int


@dataclass
class Controller:
    """Decides and reconciles, in a thread of its own, for as long as its context lasts.

    Attributes:
      read: the values of the autoscaler's triggers.
      times: how many times faster than on a cluster its time goes.
      decisions: since the beginning.
    """

    scaler: Autoscaler
    fleet: Fleet
    read: Callable[[], list[float]]
    times: int
    decisions: list[Decision] = field(default_factory=list)
    _began: float = 0.0
    _running: ExitStack = field(default_factory=ExitStack)
    _rounds: Repeating = field(init=False)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        every_s = self.scaler.scaling.polls_s / self.times
        self._rounds = Repeating("controller", every_s, self._decide)
        self._running.callback(self.fleet.close)
        self._running.enter_context(self._rounds)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def replicas(self) -> int:
        """What it has decided last; what has stopped it, if something has."""
        self._rounds.check()
        return self.scaler.replicas

    def _decide(self) -> None:
        values = self.read()
        at_s = (time.monotonic() - self._began) * self.times
        replicas = self.scaler.decide(at_s, values)
        self.decisions.append(Decision(at_s, values, replicas))
        self.fleet.reconcile(replicas)
