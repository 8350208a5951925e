"""What some pods stand for: processes of this machine.

kwok plays the pods. Here a process is started once its pod is bound to a node, and what it does
is written on the pod, in an annotation that kwok's stages wait for. A job's pod stands for its
container's command, by this checkout's programs; others for what the test says.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from scripts.manifests import ROOT
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.kwok import STANDS_FOR_PROCESS, STATE
from tests.support.repeating import Repeating

_EVERY_S: Final = 0.2

Pod = dict[str, Any]
# None: not started, or not ready.
State = Literal["serves", "succeeded", "failed", "ended"] | None


def name_of(pod: Pod) -> str:
    return str(pod["metadata"]["name"])


def controller(pod: Pod) -> str:
    """The kind of what the pod belongs to."""
    owners = pod["metadata"].get("ownerReferences", [])
    return str(owners[0]["kind"]) if owners else ""


def is_going(pod: Pod) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_bound(pod: Pod) -> bool:
    return "nodeName" in pod["spec"]


def stands_for_process(pod: Pod) -> bool:
    return annotations_of(pod).get(STANDS_FOR_PROCESS) == "true"


def annotations_of(pod: Pod) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("annotations", {})
    return found


def _nothing(pods: list[Pod]) -> dict[str, State]:
    assert not pods, f"The test starts no process for {[name_of(pod) for pod in pods]}."
    return {}


@dataclass
class Processes:
    """Looks after them in a thread of its own, for as long as its context lasts.

    Attributes:
      reconcile: given the pods that stand for processes of the test's, it starts and stops
        these, and returns what each one does, by the pod's name.
    """

    cluster: Cluster
    reconcile: Callable[[list[Pod]], dict[str, State]] = _nothing
    _jobs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _running: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self._running.callback(self._end_jobs)
        self._running.enter_context(Repeating("processes", _EVERY_S, self._round))
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _end_jobs(self) -> None:
        for job in self._jobs.values():
            job.terminate()
            job.wait()

    def _round(self) -> None:
        pods = self.cluster.get("/api/v1/pods")["items"]
        ours = [pod for pod in pods if stands_for_process(pod)]
        states = self.reconcile(ours)
        for pod in ours:
            self._say(pod, states.get(name_of(pod)))
        for pod in pods:
            if controller(pod) == "Job" and is_bound(pod):
                self._say(pod, self._job(pod))

    def _job(self, pod: Pod) -> State:
        uid = pod["metadata"]["uid"]
        if uid not in self._jobs:
            environment = None if is_going(pod) else self._environment(pod)
            if environment is None:
                return None  # it waits for its secret, as on a node
            self._jobs[uid] = self._command(pod, environment)
        status = self._jobs[uid].poll()
        if status is None:
            if is_going(pod):
                self._jobs[uid].terminate()
            return "serves"
        return "failed" if status else "succeeded"

    def _command(self, pod: Pod, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """The command of a job's container, by this checkout's programs."""
        (container,) = pod["spec"]["containers"]
        program = ROOT / ".venv/bin" / container["command"][0]
        with (self.cluster.folder / f"{name_of(pod)}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, program, *container["args"]],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _environment(self, pod: Pod) -> dict[str, str] | None:
        """Variables of a job's container; None while a secret of it is not there."""
        (container,) = pod["spec"]["containers"]
        found = {}
        for each in container["env"]:
            reference = each["valueFrom"]["secretKeyRef"]
            namespace = pod["metadata"]["namespace"]
            path = f"/api/v1/namespaces/{namespace}/secrets/{reference['name']}"
            answer = self.cluster.api.get(path)
            if answer.status_code == 404:
                return None
            found[each["name"]] = base64.b64decode(
                answer.json()["data"][reference["key"]]
            ).decode()
        return found

    def _say(self, pod: Pod, state: State) -> None:
        """Write it on the pod, for kwok."""
        if annotations_of(pod).get(STATE) == state:
            return
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name_of(pod)}"
        answer = self.cluster.api.patch(
            path,
            json={"metadata": {"uid": pod["metadata"]["uid"], "annotations": {STATE: state}}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        # It may be gone, or another one, since it was looked at: the next round sees.
        assert answer.is_success or answer.status_code in (404, 409, 422), answer.text
