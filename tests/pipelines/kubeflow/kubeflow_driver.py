"""What Kubeflow's driver does before a node's container starts, emulated.

After backend/src/v2/driver (resolve.go, driver.go, util.go) and metadata/converter.go.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2

from tests.pipelines.kubeflow.kubeflow_server import UploadedPipeline

_TYPE_OF_KIND = {
    "string_value": {kfp_pb2.ParameterType.STRING},
    "number_value": {
        kfp_pb2.ParameterType.NUMBER_DOUBLE,
        kfp_pb2.ParameterType.NUMBER_INTEGER,
    },
    "bool_value": {kfp_pb2.ParameterType.BOOLEAN},
    "list_value": {kfp_pb2.ParameterType.LIST},
    "struct_value": {kfp_pb2.ParameterType.STRUCT},
}
_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")


@dataclass
class MetadataStore:
    """ML Metadata as Kubeflow uses it: artifacts get numbers, types are not given back."""

    _ids: Any = field(default_factory=lambda: itertools.count(101))
    _artifacts: dict[tuple[str, str], kfp_pb2.RuntimeArtifact] = field(default_factory=dict)
    _parameters: dict[tuple[str, str], struct_pb2.Value] = field(default_factory=dict)

    def record(self, task: str, key: str, artifact: kfp_pb2.RuntimeArtifact) -> None:
        """Record an output; refuses what the launcher cannot convert."""
        recorded = kfp_pb2.RuntimeArtifact(name=str(next(self._ids)), uri=artifact.uri)
        recorded.metadata.update({"display_name": key, "store_session_info": "null"})
        for name, value in artifact.metadata.fields.items():
            kind = value.WhichOneof("kind")
            if kind in (None, "null_value"):
                raise AssertionError(f"{task}.{key}: property {name} has no value")
            converted = recorded.metadata.fields[name]
            if kind == "bool_value":
                converted.number_value = float(value.bool_value)
            elif kind in ("list_value", "struct_value"):
                converted.struct_value.fields[kind.removesuffix("_value")].CopyFrom(value)
            else:
                converted.CopyFrom(value)
        self._artifacts[task, key] = recorded

    def record_parameter(self, task: str, key: str, value: struct_pb2.Value) -> None:
        self._parameters[task, key] = value

    def parameter(self, task: str, key: str) -> struct_pb2.Value:
        return self._parameters[task, key]

    def output(self, task: str, key: str) -> kfp_pb2.RuntimeArtifact:
        return self._artifacts[task, key]


def task_parameters(
    pipeline: UploadedPipeline,
    name: str,
    task: kfp_pb2.PipelineTaskSpec,
    parameters: dict[str, struct_pb2.Value],
    store: MetadataStore,
) -> dict[str, struct_pb2.Value]:
    """Resolve the parameters of a task, be it a container or a pipeline.

    Args:
      parameters: those of the pipeline that the task is in.
    """
    given: dict[str, struct_pb2.Value] = {}
    for key, source in task.inputs.parameters.items():
        match source.WhichOneof("kind"):
            case "component_input_parameter":
                given[key] = parameters[source.component_input_parameter]
            case "task_output_parameter":
                made = source.task_output_parameter
                given[key] = store.parameter(made.producer_task, made.output_parameter_key)
            case kind:
                assert kind == "runtime_value", f"{name}.{key}"
                given[key] = source.runtime_value.constant
    declared = pipeline.spec.components[task.component_ref.name].input_definitions.parameters
    for key, declaration in declared.items():
        assert key in given or declaration.is_optional, (
            f"neither value nor default value provided for {name}.{key}"
        )
        if key in given:
            kind = given[key].WhichOneof("kind") or "null_value"
            assert declaration.parameter_type in _TYPE_OF_KIND[kind], f"{name}.{key}: {kind}"
    return given


def executor_input(
    pipeline: UploadedPipeline,
    task_name: str,
    parameters: dict[str, struct_pb2.Value],
    store: MetadataStore,
    task_root: str,
    task_folder: str,
    file_system: str,
) -> kfp_pb2.ExecutorInput:
    """Resolve a task's inputs and provide for its outputs.

    Args:
      parameters: of the task, as `task_parameters` gives them.
      task_folder: where the launcher stages what is below `task_root`.
      file_system: the container's root.
    """
    task = pipeline.tasks[task_name]
    component = pipeline.component(task_name)
    given = kfp_pb2.ExecutorInput()
    for name, value in parameters.items():
        given.inputs.parameter_values[name].CopyFrom(value)
    for name, source in task.inputs.artifacts.items():
        producer = source.task_output_artifact
        given.inputs.artifacts[name].artifacts.add().CopyFrom(
            store.output(producer.producer_task, producer.output_artifact_key)
        )
    for name, declared in component.output_definitions.artifacts.items():
        output = given.outputs.artifacts[name].artifacts.add()
        output.name, output.uri = name, f"{task_root}/{name}"
        output.type.CopyFrom(declared.artifact_type)
        if declared.HasField("metadata"):
            output.metadata.CopyFrom(declared.metadata)
    # The server publishes each node's log as one more artifact, by default; to its address the
    # launcher appends the number of the attempt.
    logs = given.outputs.artifacts["executor-logs"].artifacts.add()
    logs.name, logs.uri = "executor-logs", f"{task_root}/executor-logs-0"
    logs.type.schema_title = "system.Artifact"
    for name in component.output_definitions.parameters:
        given.outputs.parameters[name].output_file = f"{file_system}/tmp/kfp/outputs/{name}"
    given.outputs.output_file = f"{task_folder}/output_metadata.json"
    return given


def resolve_placeholders(text: str, given: kfp_pb2.ExecutorInput) -> str:
    """Fill in `{{$.inputs.parameters['…']}}`, as in an image or an argument."""

    def value(match: re.Match[str]) -> str:
        return given.inputs.parameter_values[match[1]].string_value

    return _PARAMETER.sub(value, text)


def command_line(
    container: kfp_pb2.PipelineDeploymentConfig.PipelineContainerSpec,
    given: kfp_pb2.ExecutorInput,
) -> list[str]:
    """The container's command and arguments, all placeholders filled in."""
    whole = json_format.MessageToJson(given, indent=None)
    resolved = []
    for argument in [*container.command, *container.args]:
        assert not argument.strip().startswith('{"IfPresent":'), argument
        resolved.append(resolve_placeholders(argument, given).replace("{{$}}", whole))
    return resolved
