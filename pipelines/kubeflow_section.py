"""The ``[kubeflow]`` section: what a cluster is told that one machine need not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from pipelines.node_ids import SPAN_GATE, STARTING_POINT
from pipelines.setting import STRICT, setting

# As Kubernetes writes a quantity: 500m, 2, 1.5, 16Gi. Empty leaves the cluster's default.
_QUANTITY: Final = r"^$|^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


@dataclass(frozen=True, config=STRICT)
class NodeResources:
    """Resources and options of one node of the pipeline."""

    cpu_request: str = setting("", "Requested CPUs, such as 2 or 500m.", pattern=_QUANTITY)
    cpu_limit: str = setting("", "Maximum CPUs.", pattern=_QUANTITY)
    memory_request: str = setting("", "Requested memory, such as 4Gi.", pattern=_QUANTITY)
    memory_limit: str = setting("", "Maximum memory.", pattern=_QUANTITY)
    gpu_type: str = setting("nvidia.com/gpu", "Type of the GPUs, as the cluster names it.")
    gpu_count: int = setting(0, "GPUs.", ge=0, le=64)
    node_selector: dict[str, str] = Field(
        default_factory=dict,
        description="Labels of the cluster's machines that may run the node.",
    )
    retries: int = setting(
        0, "Number of times that a failed node is started again.", ge=0, le=100
    )
    retry_wait_s: int = setting(
        60,
        "Wait before the first retry, in seconds; it doubles with each retry.",
        ge=0,
        le=86_400,
    )
    timeout_s: int = setting(0, "Longest run in seconds; 0: no limit.", ge=0)
    cache: bool | None = setting(
        None,
        "Reuse an earlier result for the same inputs and image. Not set: yes, except for "
        "the nodes that read something outside the pipeline: SpanGate, CorpusExampleGen, "
        "ChampionLookup and StartingPoint.",
    )


@dataclass(frozen=True, config=STRICT)
class SecretVariable:
    """An environment variable whose value is in a Secret; the settings contain only the
    reference."""

    variable: str = setting(..., "Environment variable.", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    secret: str = setting(..., "Name of the Secret in the run's namespace.", pattern=_NAME)
    key: str = setting(..., "Key in the Secret.", min_length=1)


# An earlier result of theirs may be stale though no input changed.
_NOT_CACHED_UNASKED: Final = (
    SPAN_GATE,
    "CorpusExampleGen",
    "ChampionLookup",
    STARTING_POINT,
)
# Ends a run with the drift that it has found: a retry would find the same.
_NOT_RETRIED_UNASKED: Final = (SPAN_GATE,)


@dataclass(frozen=True, config=STRICT)
class KubeflowConfig:
    """How the pipeline runs on Kubeflow Pipelines."""

    image: str = setting(
        "tallygraph:latest",
        "Container image of all nodes, the default of the run's parameter `image`. Name it "
        "by a unique tag or by digest: cached results are reused for the same image.",
        min_length=1,
    )
    output: str = setting(
        "/mnt/tallygraph",
        "Folder of a mounted volume for what is kept after a run: checkpoints of training "
        "in progress, pushed versions.",
        pattern=r"^/.+",
    )
    volume_claim: str = setting(
        "",
        "PersistentVolumeClaim that is mounted at `output` in every node (ReadWriteMany if "
        "nodes run on several machines). Empty: the image or the cluster mounts it.",
    )
    pipeline_root: str = setting(
        "",
        "Folder of the object store for artifacts (minio://, s3:// or gs://), the default "
        "of a run's pipeline root. Empty: the server's.",
        pattern=r"^$|^(minio|s3|gs)://.+",
    )
    image_pull_secret: str = setting("", "Secret for pulling the image.")
    defaults: NodeResources = Field(
        default_factory=NodeResources, description="Settings of every node."
    )
    nodes: dict[str, NodeResources] = Field(
        default_factory=dict,
        description="Settings of single nodes, such as [kubeflow.nodes.Trainer]. An entry has "
        "the same settings as `defaults` and replaces all of them for its node.",
    )
    secrets: tuple[SecretVariable, ...] = Field(
        default=(), description="Environment variables from Secrets, for every node."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> KubeflowConfig:
        names = [secret.variable for secret in self.secrets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"secrets set an environment variable twice. Received: {', '.join(twice)}"
            )
        return self

    def of_node(self, node_id: str) -> NodeResources:
        """Return the resources and options of a node."""
        if node_id in self.nodes:
            return self.nodes[node_id]
        if node_id in _NOT_RETRIED_UNASKED:
            return replace(self.defaults, retries=0)
        return self.defaults

    def is_cached(self, node_id: str) -> bool:
        """Whether a node's earlier result may be taken.

        Kubeflow goes by a node's parameters and by the ids of its input artifacts. It cannot
        see that files of the corpus changed or that the registry has a new champion, so the
        nodes that find that out are cached only if the settings say so of them by name.
        """
        if node_id in _NOT_CACHED_UNASKED:
            return node_id in self.nodes and bool(self.nodes[node_id].cache)
        return self.of_node(node_id).cache is not False
