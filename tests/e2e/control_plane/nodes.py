"""In place of nodes and a scheduler: pods are bound to a node, and become what they would.

An emulation: no container runs. What a pod stands for is decided by whoever makes the `Nodes`:
a process of this machine, or nothing at all. Jobs are real commands of this checkout.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from scripts.manifests import ROOT
from tests.e2e.control_plane.cluster import Cluster

_EVERY_S: Final = 0.2
_NODE: Final = "node-0"
_NOW: Final = "2026-01-01T00:00:00Z"

Pod = dict[str, Any]


def name_of(pod: Pod) -> str:
    return str(pod["metadata"]["name"])


def controller(pod: Pod) -> str:
    """The kind of what the pod belongs to."""
    owners = pod["metadata"].get("ownerReferences", [])
    return str(owners[0]["kind"]) if owners else ""


@dataclass
class Nodes:
    """Looks after all pods in a thread of its own, for as long as its context lasts.

    Attributes:
      ready: whether what a pod stands for serves.
      ended: whether it has ended, for a pod that is to go.
      changed: told the pods of each round, before they are looked after.
    """

    cluster: Cluster
    ready: Callable[[Pod], bool] = lambda pod: True
    ended: Callable[[Pod], bool] = lambda pod: True
    changed: Callable[[list[Pod]], None] = lambda pods: None
    problem: Exception | None = None
    _jobs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": _NODE}})
        self._thread = threading.Thread(target=self._run, name="nodes")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        for job in self._jobs.values():
            job.wait()
        if self.problem is not None:
            raise self.problem

    def _run(self) -> None:
        try:
            while not self._end.wait(_EVERY_S):
                pods = self.cluster.get("/api/v1/pods")["items"]
                self.changed(pods)
                for pod in pods:
                    self._look_after(pod)
        except Exception as error:
            self.problem = error  # raised at the end

    def _look_after(self, pod: Pod) -> None:
        phase = pod["status"].get("phase")
        if "deletionTimestamp" in pod["metadata"]:
            if phase in ("Succeeded", "Failed") or self.ended(pod):
                self._call("DELETE", pod, "", {"gracePeriodSeconds": 0})
        elif "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": _NODE}
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": name_of(pod)},
                "target": target,
            }
            self._call("POST", pod, "/binding", binding)
        elif controller(pod) == "Job":
            self._run_job(pod)
        elif phase in (None, "Pending") or is_ready(pod) != self.ready(pod):
            self._say(pod, "Running", self.ready(pod))

    def _run_job(self, pod: Pod) -> None:
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return
        uid = pod["metadata"]["uid"]
        if uid not in self._jobs:
            environment = self._environment(pod)
            if environment is None:
                return  # it waits for its secret, as on a node
            self._jobs[uid] = self._command(pod, environment)
            self._say(pod, "Running", True)
        status = self._jobs[uid].poll()
        if status is not None:
            self._say(pod, "Failed" if status else "Succeeded", False)

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

    def _say(self, pod: Pod, phase: str, ready: bool) -> None:
        word = "True" if ready else "False"
        conditions = [{"type": kind, "status": word} for kind in ("Ready", "ContainersReady")]
        self._call(
            "PATCH",
            pod,
            "/status",
            {
                "status": {
                    "phase": phase,
                    "startTime": _NOW,
                    "conditions": [{"type": "PodScheduled", "status": "True"}, *conditions],
                }
            },
        )

    def _call(self, method: str, pod: Pod, below: str, body: dict[str, Any]) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name_of(pod)}{below}"
        kind = "strategic-merge-patch+json" if method == "PATCH" else "json"
        answer = self.cluster.api.request(
            method, path, json=body, headers={"Content-Type": f"application/{kind}"}
        )
        # It may be gone, or changed, since it was looked at: the next round sees.
        assert answer.is_success or answer.status_code in (404, 409), answer.text


def is_ready(pod: Pod) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True"
        for each in pod["status"].get("conditions", [])
    )
