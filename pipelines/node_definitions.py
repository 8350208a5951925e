"""A compiled pipeline's nodes as they are defined: what decides, beside their inputs, whether
they run again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from google.protobuf import text_format
from tfx.orchestration.local import runner_utils
from tfx.proto.orchestration import local_deployment_config_pb2, pipeline_pb2

from pipelines.masking import masked


@dataclass(frozen=True, slots=True)
class NodeDefinition:
    """One node.

    Attributes:
      digest: SHA-256 of its type, its executor, its code's version, its parameters and the
        names of the nodes before it. Credentials in URLs and Beam's options, in which there
        may be secrets, are not part of it.
      upstream: ids of the nodes whose outputs it reads.
    """

    node_id: str
    digest: str
    upstream: tuple[str, ...]


def node_definitions(pipeline: pipeline_pb2.Pipeline) -> tuple[NodeDefinition, ...]:
    """Return the definitions of a compiled pipeline's nodes, in the order of the pipeline."""
    executors = runner_utils.extract_local_deployment_config(pipeline).executor_specs
    return tuple(
        _definition(node.pipeline_node, executors.get(node.pipeline_node.node_info.id))
        for node in pipeline.nodes
    )


def _definition(
    node: pipeline_pb2.PipelineNode,
    executor: local_deployment_config_pb2.ExecutableSpec | None,
) -> NodeDefinition:
    parts = [text_format.MessageToString(node.node_info)]
    if executor is not None:
        kind = executor.WhichOneof("spec")
        spec = getattr(executor, kind) if kind else executor
        own = spec.python_executor_spec if kind == "beam_executable_spec" else spec
        parts.append(text_format.MessageToString(own))
    for name, value in sorted(node.parameters.parameters.items()):
        parts.append(f"{name}: {text_format.MessageToString(value)}")
    parts += sorted(node.upstream_nodes)
    text = masked("\n".join(parts))
    return NodeDefinition(
        node_id=node.node_info.id,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        upstream=tuple(sorted(node.upstream_nodes)),
    )
