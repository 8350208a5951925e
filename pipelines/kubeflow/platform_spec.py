"""The second document of a compiled pipeline: the settings that are specific to Kubernetes.

Its fields are those of Kubeflow's KubernetesExecutorConfig. Names of Secrets and claims are
written twice, as its own compiler does: servers before 2.5 read the first, later ones the
second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pipelines.kubeflow_section import KubeflowConfig

# Environment variable of a node: the run's id, which Kubeflow puts on every pod.
RUN_ID_VARIABLE: Final = "KFP_RUN_ID"
_RUN_ID_FIELD: Final = "metadata.labels['pipeline/runid']"


def platform_spec(config: KubeflowConfig, nodes: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the document.

    Args:
      config: the settings.
      nodes: id and executor label of each node.
    """
    executors = {label: _executor_config(config, node_id) for node_id, label in nodes}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor_config(config: KubeflowConfig, node_id: str) -> dict[str, Any]:
    resources = config.of_node(node_id)
    spec: dict[str, Any] = {
        "fieldPathAsEnv": [{"name": RUN_ID_VARIABLE, "fieldPath": _RUN_ID_FIELD}]
    }
    if resources.node_selector:
        spec["nodeSelector"] = {"labels": dict(sorted(resources.node_selector.items()))}
    if resources.timeout_s:
        # 64-bit numbers are strings in the JSON of protocol buffers.
        spec["activeDeadlineSeconds"] = str(resources.timeout_s)
    if config.secrets:
        spec["secretAsEnv"] = [
            {
                "secretName": secret.secret,
                "secretNameParameter": _constant(secret.secret),
                "keyToEnv": [{"secretKey": secret.key, "envVar": secret.variable}],
                "optional": False,
            }
            for secret in config.secrets
        ]
    if config.volume_claim:
        spec["pvcMount"] = [
            {
                "constant": config.volume_claim,
                "pvcNameParameter": _constant(config.volume_claim),
                "mountPath": config.output,
            }
        ]
    if config.image_pull_secret:
        spec["imagePullSecret"] = [
            {
                "secretName": config.image_pull_secret,
                "secretNameParameter": _constant(config.image_pull_secret),
            }
        ]
    return spec


def _constant(value: str) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}
