"""The processes that train together, and this process's index among them.

As usual with TensorFlow, the environment variable ``TF_CONFIG`` defines them:
``{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}``, with
one of the workers named ``chief`` instead where the platform does that (Kubeflow's TFJob).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

TF_CONFIG: Final = "TF_CONFIG"

_POLL_S: Final = 0.5
_ANSWER_S: Final = 5.0


class ClusterError(ValueError):
    """The processes cannot train together as described. Never worth a retry."""


@dataclass(frozen=True)
class Cluster:
    """Processes that train together.

    Attributes:
      addresses: ``host:port`` of each; the first is the chief's, which saves checkpoints,
        validates, writes history and exports.
      index: this process's index in ``addresses``.
      config: the ``TF_CONFIG`` that describes this.
    """

    addresses: tuple[str, ...]
    index: int
    config: str

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def wait_for_chief(self) -> None:
        """Return as soon as the chief's training process can be reached.

        Until then the chief may make what training needs, which can take hours, and its name
        may not be known yet. Which of both it is cannot be told from outside, so there is no
        limit: whoever started the workers ends them.
        """
        host, _, port = self.addresses[0].rpartition(":")
        while True:
            try:
                socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
                return
            except OSError:
                time.sleep(_POLL_S)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], expected: int) -> Self | None:
        """Return the cluster that ``TF_CONFIG`` describes; None if it describes none.

        Args:
          environment: such as ``os.environ``.
          expected: ``training.workers``, the number of workers that the cluster must have.

        Raises:
          ClusterError: ``TF_CONFIG`` cannot be read, or describes another cluster.
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
        if "sparseCluster" in parsed:
            raise ClusterError(
                f"{TF_CONFIG} names a sparse cluster, as a TFJob with enableDynamicWorker "
                "has it. Expected: all workers under 'cluster', because each exchanges "
                f"gradients with all others. Remove enableDynamicWorker. Received: {text!r}"
            )
        if not addresses:
            return None
        if others := sorted(set(jobs) - {"chief", "worker"}):
            raise ClusterError(
                f"{TF_CONFIG} names tasks that training does not use: {', '.join(others)}. "
                "Expected: workers and at most one chief, because gradients are summed "
                "among them and there are no parameter servers."
            )
        place = index + (len(jobs.get("chief", ())) if kind == "worker" else 0)
        if kind not in ("chief", "worker") or kind not in jobs or index >= len(jobs[kind]):
            raise ClusterError(f"{_expectation()} Its task is not of its cluster: {text!r}")
        if len(addresses) != expected:
            raise ClusterError(
                f"{TF_CONFIG} names {len(addresses)} workers, but training.workers is "
                f"{expected}. They must be equal: set training.workers = {len(addresses)}, "
                f"or start {expected} workers."
            )
        return cls(tuple(addresses), place, text)

    @classmethod
    def on_this_machine(cls, ports: Sequence[int]) -> tuple[Self, ...]:
        """Return a cluster of processes on this machine, one on each port, once from the view
        of each process."""
        addresses = tuple(f"127.0.0.1:{port}" for port in ports)
        return tuple(cls(addresses, i, _config(addresses, i)) for i in range(len(addresses)))


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
