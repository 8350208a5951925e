"""What Kubeflow's API server does with an uploaded pipeline, emulated.

Written after the rules of its sources (backend/src/apiserver/template/v2_template.go and
backend/src/v2/compiler); it shows that a pipeline breaks none of the rules that are here, not
that a cluster runs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2

_PIPELINE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'] == '([^']*)'")
_TASK_NAME = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]{0,127}")
# What a Kubernetes object may hold, and an Argo workflow repeats much of the spec.
_MOST_BYTES = 500_000
_CONFIG_FIELDS = {
    "secretAsEnv",
    "pvcMount",
    "nodeSelector",
    "imagePullSecret",
    "activeDeadlineSeconds",
    "fieldPathAsEnv",
}


class RefusedError(Exception):
    """The server says no."""


@dataclass(frozen=True)
class UploadedPipeline:
    """A pipeline that the server has taken."""

    spec: kfp_pb2.PipelineSpec
    deployment: kfp_pb2.PipelineDeploymentConfig
    platform: dict[str, dict[str, Any]]

    @property
    def tasks(self) -> dict[str, kfp_pb2.PipelineTaskSpec]:
        """The tasks with containers, of the root and of the pipelines in it."""
        return {
            name: task
            for dag in self._dags()
            for name, task in dag.tasks.items()
            if not self.is_dag(task)
        }

    def dag(self, task: str = "") -> kfp_pb2.DagSpec:
        """The pipeline that a task of the root stands for; the root itself without one."""
        if not task:
            return self.spec.root.dag
        return self.spec.components[self.spec.root.dag.tasks[task].component_ref.name].dag

    def is_dag(self, task: kfp_pb2.PipelineTaskSpec) -> bool:
        return self.spec.components[task.component_ref.name].HasField("dag")

    def container(self, task: str) -> kfp_pb2.PipelineDeploymentConfig.PipelineContainerSpec:
        return self.deployment.executors[self.component(task).executor_label].container

    def component(self, task: str) -> kfp_pb2.ComponentSpec:
        return self.spec.components[self.tasks[task].component_ref.name]

    def _dags(self) -> Iterator[kfp_pb2.DagSpec]:
        yield self.spec.root.dag
        yield from (c.dag for c in self.spec.components.values() if c.HasField("dag"))


def upload(text: str) -> UploadedPipeline:
    """Take a pipeline or refuse it."""
    if len(text.encode()) > _MOST_BYTES:
        raise RefusedError(f"the pipeline has {len(text.encode())} bytes")
    spec, platform = None, None
    for document in yaml.safe_load_all(text):
        if "pipelineInfo" in document:
            if spec is not None:
                raise RefusedError("multiple pipeline specs provided")
            spec = _strict(document, kfp_pb2.PipelineSpec())
        else:
            if platform is not None:
                raise RefusedError("multiple platform specs provided")
            platform = _strict(document, kfp_pb2.PlatformSpec())
            if "kubernetes" not in platform.platforms:
                raise RefusedError("a document that is no spec of this server's")
    if spec is None:
        raise RefusedError("no pipeline spec is provided")
    if spec.schema_version != "2.1.0":
        raise RefusedError(f"only schema version 2.1.0 is supported, not {spec.schema_version}")
    if not _PIPELINE_NAME.fullmatch(spec.pipeline_info.name):
        raise RefusedError(f"invalid name {spec.pipeline_info.name!r}")
    if not spec.HasField("root"):
        raise RefusedError("root component is empty")
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec),
        kfp_pb2.PipelineDeploymentConfig(),
        ignore_unknown_fields=True,
    )
    _check_dag(spec, deployment, spec.root)
    return UploadedPipeline(spec, deployment, _executor_configs(platform))


def parameters_of_a_run(
    pipeline: UploadedPipeline, given: dict[str, str]
) -> dict[str, struct_pb2.Value]:
    """Check a run's parameters and fill in the defaults."""
    declared = pipeline.spec.root.input_definitions.parameters
    if unknown := sorted(set(given) - set(declared)):
        raise RefusedError(f"parameter(s) provided are not required by pipeline: {unknown}")
    values = {}
    for name, declaration in declared.items():
        if declaration.parameter_type != kfp_pb2.ParameterType.STRING:
            raise RefusedError(f"this emulation has strings only; {name} is none")
        if name in given:
            values[name] = struct_pb2.Value(string_value=given[name])
        elif declaration.HasField("default_value"):
            values[name] = declaration.default_value
        else:
            raise RefusedError(
                f"parameter {name} is not optional, yet has neither default value nor user "
                "provided value"
            )
    return values


def _strict(document: Any, message: Any) -> Any:
    try:
        return json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise RefusedError(f"invalid {type(message).__name__}: {error}") from None


def condition_of(task: kfp_pb2.PipelineTaskSpec) -> tuple[str, str] | None:
    """The input parameter of a trigger condition, and the text it has to be."""
    text = task.trigger_policy.condition
    if not text:
        return None
    # Kubeflow evaluates CEL; this is what kfp makes of `parameter == "text"`.
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise RefusedError(f"this emulation cannot evaluate the condition {text}")
    return match[1], match[2]


def _check_dag(
    spec: kfp_pb2.PipelineSpec,
    deployment: kfp_pb2.PipelineDeploymentConfig,
    dag: kfp_pb2.ComponentSpec,
) -> None:
    """Check a pipeline's tasks, and those of the pipelines in it."""
    tasks = dag.dag.tasks
    for name, task in tasks.items():
        if not _TASK_NAME.fullmatch(name) or not task.task_info.name:
            raise RefusedError(f"invalid task name {name!r}")
        if task.component_ref.name not in spec.components:
            raise RefusedError(f"cannot find component ref name={task.component_ref.name!r}")
        component = spec.components[task.component_ref.name]
        if missing := sorted(set(task.dependent_tasks) - set(tasks)):
            raise RefusedError(f"{name} depends on {missing}, which are not there")
        _check_parameters(spec, dag, name)
        if component.HasField("dag"):
            condition = condition_of(task)
            if condition and condition[0] not in task.inputs.parameters:
                raise RefusedError(f"{name}: no such input in {task.trigger_policy.condition}")
            _check_dag(spec, deployment, component)
            continue
        if task.trigger_policy.condition:
            raise RefusedError(f"{name}: this emulation has conditions of pipelines only")
        if component.executor_label not in deployment.executors:
            raise RefusedError(f"executor(label={component.executor_label!r}) not found")
        executor = deployment.executors[component.executor_label]
        if executor.WhichOneof("spec") not in ("container", "importer"):
            raise RefusedError(f"{name}: non-container and non-importer executor")
        for key, source in task.inputs.artifacts.items():
            producer = source.task_output_artifact.producer_task
            if producer not in task.dependent_tasks:
                raise RefusedError(f"{name} reads {key} of {producer} and does not wait for it")
            outputs = spec.components[tasks[producer].component_ref.name].output_definitions
            if source.task_output_artifact.output_artifact_key not in outputs.artifacts:
                raise RefusedError(f"{name}: {producer} has no such output for {key}")


def _check_parameters(
    spec: kfp_pb2.PipelineSpec, dag: kfp_pb2.ComponentSpec, name: str
) -> None:
    """Where a task's parameters come from: its pipeline's inputs, or a task it waits for."""
    task = dag.dag.tasks[name]
    for key, source in task.inputs.parameters.items():
        match source.WhichOneof("kind"):
            case "component_input_parameter":
                if source.component_input_parameter not in dag.input_definitions.parameters:
                    raise RefusedError(
                        f"{name}: parent DAG does not have input parameter "
                        f"{source.component_input_parameter}"
                    )
            case "task_output_parameter":
                producer = source.task_output_parameter.producer_task
                if producer not in task.dependent_tasks:
                    raise RefusedError(f"{name} reads {key} of {producer} without waiting")
                made = spec.components[dag.dag.tasks[producer].component_ref.name]
                if source.task_output_parameter.output_parameter_key not in (
                    made.output_definitions.parameters
                ):
                    raise RefusedError(f"{name}: {producer} has no such parameter for {key}")
            case "runtime_value":
                pass
            case other:
                raise RefusedError(f"{name}: this emulation has no {other} for {key}")


def _executor_configs(platform: kfp_pb2.PlatformSpec | None) -> dict[str, dict[str, Any]]:
    if platform is None:
        return {}
    executors = platform.platforms["kubernetes"].deployment_spec.executors
    configs = {label: json_format.MessageToDict(config) for label, config in executors.items()}
    for label, config in configs.items():
        if unknown := sorted(set(config) - _CONFIG_FIELDS):
            raise RefusedError(f"{label}: this emulation knows no {unknown}")
    return configs
