"""Converts the input that Kubeflow gives a node to what TFX expects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2
from tfx import types
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as tfx_utils

from components.champion_lookup.executor import is_absent
from pipelines.kubeflow.artifact_types import know_own_types
from pipelines.kubeflow.staging import Staging

# Parameter of every node that names its image, so that a run can say which; it is for
# Kubeflow alone. No component has a parameter of this name.
CONTAINER_IMAGE: Final = "container_image"


class NodeInputError(ValueError):
    """The node's input cannot be read. Never worth a retry."""


@dataclass(frozen=True)
class NodeInput:
    """The input of a node.

    Attributes:
      inputs, outputs: artifacts whose URIs are local paths.
      properties: the node's execution properties.
      output_uris: URI of each output in the object store, by key.
      output_parameters: names of the output parameters that Kubeflow waits for.
      output_file: where the launcher looks for the ExecutorOutput.
      name_of_id: Kubeflow's name of each artifact, by TFX's id.
    """

    inputs: dict[str, list[types.Artifact]]
    outputs: dict[str, list[types.Artifact]]
    properties: dict[str, Any]
    output_uris: dict[str, str]
    output_parameters: tuple[str, ...]
    output_file: str
    name_of_id: dict[int, str]


def read_node_input(executor_input: str, inputs_spec: str, staging: Staging) -> NodeInput:
    """Read an ExecutorInput.

    Four things differ from what TFX expects, and are corrected here: input artifacts have no
    type (the component's own declaration has it); URIs are those of the object store; the
    launcher adds an output of its own for the logs; and an absent champion is an artifact.

    Args:
      executor_input: the ExecutorInput as JSON.
      inputs_spec: the component's ComponentInputsSpec as JSON.
      staging: where the launcher puts files.

    Raises:
      NodeInputError: one of them is not JSON of its kind, or an artifact has no type.
    """
    given = _parse(executor_input, kfp_pb2.ExecutorInput(), "--json_serialized_invocation_args")
    declared = _parse(
        inputs_spec, kfp_pb2.ComponentInputsSpec(), "--json_serialized_inputs_spec_args"
    )
    know_own_types()
    for key, listed in given.inputs.artifacts.items():
        for artifact in listed.artifacts:
            _restore_type(artifact, key, declared)
            artifact.uri = _local_path(artifact, staging)
    for key in [key for key, listed in given.outputs.artifacts.items() if _is_foreign(listed)]:
        del given.outputs.artifacts[key]
    output_uris = {
        key: artifact.uri
        for key, listed in given.outputs.artifacts.items()
        for artifact in listed.artifacts
    }
    for listed in given.outputs.artifacts.values():
        for artifact in listed.artifacts:
            artifact.uri = _local_path(artifact, staging)
    given.inputs.parameter_values.pop(CONTAINER_IMAGE, None)
    name_of_id: dict[int, str] = {}
    inputs = tfx_utils.parse_raw_artifact_dict(given.inputs.artifacts, name_of_id)
    return NodeInput(
        inputs={
            key: present
            for key, artifacts in inputs.items()
            if (present := [artifact for artifact in artifacts if not is_absent(artifact)])
        },
        outputs=tfx_utils.parse_raw_artifact_dict(given.outputs.artifacts, name_of_id),
        properties=tfx_utils.parse_execution_properties(
            given.inputs.parameter_values, given.inputs.parameters, declared
        ),
        output_uris=output_uris,
        output_parameters=tuple(sorted(given.outputs.parameters)),
        output_file=given.outputs.output_file,
        name_of_id=name_of_id,
    )


def _parse(text: str, message: Any, flag: str) -> Any:
    try:
        return json_format.Parse(text, message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise NodeInputError(
            f"{flag} cannot be read. Expected: the JSON of a {type(message).__name__}. "
            f"Received: {text[:200]!r} ({error})"
        ) from None


def _restore_type(
    artifact: kfp_pb2.RuntimeArtifact, key: str, declared: kfp_pb2.ComponentInputsSpec
) -> None:
    if artifact.type.instance_schema or artifact.type.schema_title:
        return
    if key not in declared.artifacts:
        raise NodeInputError(
            f"the input '{key}' has no type. Expected: one in the artifact or in the "
            f"component's declaration, which names {', '.join(sorted(declared.artifacts))}"
        )
    artifact.type.CopyFrom(declared.artifacts[key].artifact_type)


def _is_foreign(listed: kfp_pb2.ArtifactList) -> bool:
    """Whether an output is Kubeflow's own (`executor-logs`): TFX's have a whole schema."""
    return any(not artifact.type.instance_schema for artifact in listed.artifacts)


def _local_path(artifact: kfp_pb2.RuntimeArtifact, staging: Staging) -> str:
    return artifact.custom_path or staging.local_path(artifact.uri)
