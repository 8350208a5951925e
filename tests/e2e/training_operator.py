"""What Kubeflow's training operator (v1) does with a TFJob, as far as its replicas see it.

After `genClusterSpec` and `genTFConfigJSONStr` of its TFJob controller: every replica gets the
addresses of all replicas but itself a place among them, in the variable `TF_CONFIG`.
"""

from __future__ import annotations

import json
from typing import Any, Final

CONTAINER: Final = "tensorflow"
_PORT_NAME: Final = "tfjob-port"
_DEFAULT_PORT: Final = 2222


def replica_names(job: dict[str, Any]) -> dict[str, list[str]]:
    """Names of the services of a job's replicas, by their kind in lower case."""
    metadata = job["metadata"]
    return {
        kind.lower(): [
            f"{metadata['name']}-{kind.lower()}-{index}.{metadata['namespace']}.svc"
            for index in range(spec.get("replicas", 1))
        ]
        for kind, spec in job["spec"]["tfReplicaSpecs"].items()
    }


def tf_config(job: dict[str, Any], kind: str, index: int) -> str:
    """The variable as the operator writes it for one replica."""
    cluster = {
        each: [f"{name}:{_port(job, each)}" for name in names]
        for each, names in replica_names(job).items()
    }
    return json.dumps(
        {
            "cluster": dict(sorted(cluster.items())),
            "task": {"type": kind, "index": index},
            "environment": "cloud",
        },
        separators=(",", ":"),
    )


def container_of(job: dict[str, Any], kind: str) -> dict[str, Any]:
    """The container that gets the variable."""
    spec = job["spec"]["tfReplicaSpecs"][kind.capitalize()]
    (container,) = (
        each for each in spec["template"]["spec"]["containers"] if each["name"] == CONTAINER
    )
    found: dict[str, Any] = container
    return found


def _port(job: dict[str, Any], kind: str) -> int:
    for port in container_of(job, kind).get("ports", []):
        if port["name"] == _PORT_NAME:
            return int(port["containerPort"])
    return _DEFAULT_PORT
