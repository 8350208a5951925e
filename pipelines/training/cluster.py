"""Which processes train together, and this process's place among them.

As everywhere in TensorFlow's world, the environment variable ``TF_CONFIG`` says so:
``{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}``, with
one of the workers named ``chief`` instead where the platform does that (Kubeflow's TFJob).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

TF_CONFIG = "TF_CONFIG"


class ClusterError(ValueError):
    """A cluster that cannot train together as described. Never worth a retry."""


@dataclass(frozen=True)
class Cluster:
    """Processes that train together.

    Attributes:
      addresses: ``host:port`` of each; the first is the chief's, which keeps checkpoints,
        validates, writes history and exports.
      index: this process's place among them.
      config: the ``TF_CONFIG`` that says all that.
    """

    addresses: tuple[str, ...]
    index: int
    config: str

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], expected: int) -> Self | None:
        """The cluster that ``TF_CONFIG`` names; None where it names none.

        Args:
          environment: such as ``os.environ``.
          expected: ``training.workers``; the cluster must have so many.

        Raises:
          ClusterError: ``TF_CONFIG`` cannot be read, or is another cluster's.
        """
        text = environment.get(TF_CONFIG, "")
        if not text:
            return None
        try:
            parsed = json.loads(text)
            jobs = parsed.get("cluster", {})
            task = parsed.get("task", {})
            addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
            kind, index = task.get("type"), int(task.get("index", 0))
        except (ValueError, AttributeError, TypeError) as error:
            raise ClusterError(f"{_expectation()} Received: {text!r} ({error})") from None
        if not addresses:
            return None
        if others := sorted(set(jobs) - {"chief", "worker"}):
            raise ClusterError(
                f"{TF_CONFIG} names tasks that training does not use: {', '.join(others)}. "
                "Expected workers and at most one chief: gradients are summed among them, "
                "there are no parameter servers."
            )
        place = index + (len(jobs.get("chief", ())) if kind == "worker" else 0)
        if kind not in ("chief", "worker") or kind not in jobs or index >= len(jobs[kind]):
            raise ClusterError(f"{_expectation()} Its task is not of its cluster: {text!r}")
        if len(addresses) != expected:
            raise ClusterError(
                f"{TF_CONFIG} names {len(addresses)} workers, and training.workers is "
                f"{expected}. They must be equal: set training.workers = {len(addresses)}, or "
                "start another number of workers."
            )
        return cls(tuple(addresses), place, text)

    @classmethod
    def on_this_machine(cls, workers: int) -> tuple[Self, ...]:
        """A cluster of processes here, on free ports; seen by each of them."""
        with ExitStack() as stack:
            sockets = [
                stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                for _ in range(workers)
            ]
            addresses = tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
        return tuple(cls(addresses, i, _config(addresses, i)) for i in range(workers))


def _config(addresses: tuple[str, ...], index: int) -> str:
    described: dict[str, Any] = {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": index},
    }
    return json.dumps(described)


def _expectation() -> str:
    return (
        f'{TF_CONFIG} must be JSON such as {{"cluster": {{"worker": ["host:port", ...]}}, '
        '"task": {"type": "worker", "index": 0}}.'
    )
