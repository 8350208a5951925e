"""How many pods there are to be: what KEDA and a HorizontalPodAutoscaler decide, as documented.

An emulation, for a machine without a cluster. KEDA starts the first pod when a trigger is
above its activation threshold, and stops the last one when none has been for `cooldownPeriod`.
From one pod on, the HorizontalPodAutoscaler decides: for each metric ``ceil(metric /
target)``, or what there is if that is within a tenth of it; the largest of these; for scaling
down the largest of the stabilisation window; and no faster than its policies. Not emulated:
KEDA's fallback, and pods that are not ready and have no metric yet, since all metrics here are
of the whole release.

https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
https://keda.sh/docs/latest/reference/scaledobject-spec/
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

TOLERANCE: Final = 0.1


@dataclass(frozen=True)
class Trigger:
    """A metric of a whole release, and how much of it a pod is to have.

    Attributes:
      query: in PromQL; one number.
      activation: above it the first pod is started.
    """

    name: str
    query: str
    target: float
    activation: float = 0.0

    def pods(self, current: int, value: float) -> int:
        """How many pods the metric asks for, where there is at least one."""
        ratio = value / (self.target * current)
        if abs(ratio - 1) <= TOLERANCE:
            return current
        return math.ceil(value / self.target)


@dataclass(frozen=True)
class Policy:
    """How much may change in a period: a number of pods, or per cent of them."""

    percent: bool
    value: int
    period_s: float


@dataclass(frozen=True)
class Direction:
    """Behaviour of scaling up, or of scaling down; of its policies, the one that changes most
    decides."""

    window_s: float
    policies: tuple[Policy, ...]

    @classmethod
    def of(cls, behavior: Mapping[str, Any]) -> Self:
        assert behavior["selectPolicy"] == "Max", behavior
        policies = (
            Policy(each["type"] == "Percent", each["value"], each["periodSeconds"])
            for each in behavior["policies"]
        )
        return cls(behavior["stabilizationWindowSeconds"], tuple(policies))


@dataclass(frozen=True)
class Scaling:
    """What a ScaledObject says. Times are in seconds of the cluster.

    Attributes:
      minimum: 0 to stop the last pod.
      polls_s: between two decisions, KEDA's and the HorizontalPodAutoscaler's.
      cooldown_s: without an active trigger, until the last pod goes.
    """

    triggers: tuple[Trigger, ...]
    minimum: int
    maximum: int
    polls_s: float
    cooldown_s: float
    up: Direction
    down: Direction

    @classmethod
    def of(cls, scaled_object: Mapping[str, Any]) -> Self:
        spec = scaled_object["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        triggers = []
        for each in spec["triggers"]:
            assert (each["type"], each["metricType"]) == ("prometheus", "AverageValue")
            told = each["metadata"]
            activation = float(told.get("activationThreshold", "0"))
            triggers.append(
                Trigger(each["name"], told["query"], float(told["threshold"]), activation)
            )
        return cls(
            tuple(triggers),
            spec["minReplicaCount"],
            spec["maxReplicaCount"],
            spec["pollingInterval"],
            spec["cooldownPeriod"],
            Direction.of(behavior["scaleUp"]),
            Direction.of(behavior["scaleDown"]),
        )


@dataclass
class Autoscaler:
    """Decides from time to time, and remembers what it has decided.

    Attributes:
      replicas: pods that there are to be.
    """

    scaling: Scaling
    replicas: int = 0
    _active_at: float = -math.inf
    _asked_for: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, now_s: float, values: Sequence[float]) -> int:
        """
        Args:
          now_s: of any clock of the cluster's that goes forward.
          values: of the triggers, in their order.

        Returns:
          How many pods there are to be from now on.
        """
        of = self.scaling
        active = any(
            value > each.activation for each, value in zip(of.triggers, values, strict=True)
        )
        if active:
            self._active_at = now_s
        if self.replicas == 0:
            wanted = max(1, of.minimum) if active or of.minimum else 0
            self._asked_for.clear()
        elif of.minimum == 0 and not active and now_s - self._active_at > of.cooldown_s:
            wanted = 0
        else:
            wanted = self._of_metrics(now_s, values)
        if wanted != self.replicas:
            self._changes.append((now_s, wanted - self.replicas))
            self.replicas = wanted
        return wanted

    def _of_metrics(self, now_s: float, values: Sequence[float]) -> int:
        """The HorizontalPodAutoscaler's part."""
        of = self.scaling
        asked = max(
            each.pods(self.replicas, value)
            for each, value in zip(of.triggers, values, strict=True)
        )
        self._asked_for.append((now_s, asked))
        at_least = min(n for at, n in self._asked_for if at >= now_s - of.up.window_s)
        at_most = max(n for at, n in self._asked_for if at >= now_s - of.down.window_s)
        wanted = min(max(self.replicas, at_least), at_most)
        wanted = max(self._lowest(now_s), min(wanted, self._highest(now_s)))
        return max(of.minimum, 1, min(wanted, of.maximum))

    def _highest(self, now_s: float) -> int:
        def limit(policy: Policy) -> int:
            before = self.replicas - self._changed(now_s, policy.period_s, 1)
            more = math.ceil(before * policy.value / 100) if policy.percent else policy.value
            return before + more

        return max(map(limit, self.scaling.up.policies))

    def _lowest(self, now_s: float) -> int:
        def limit(policy: Policy) -> int:
            before = self.replicas + self._changed(now_s, policy.period_s, -1)
            kept = 1 - policy.value / 100
            return int(before * kept) if policy.percent else before - policy.value

        return min(map(limit, self.scaling.down.policies))

    def _changed(self, now_s: float, period_s: float, sign: int) -> int:
        """Pods that came (1) or went (-1) in a period."""
        return sum(abs(n) for at, n in self._changes if n * sign > 0 and at > now_s - period_s)
