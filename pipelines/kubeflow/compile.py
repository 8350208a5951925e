"""Compiles the pipeline for an open-source Kubeflow Pipelines server."""

from __future__ import annotations

from typing import Any, Final

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)

from pipelines.config import ConfigError, PipelineConfig
from pipelines.kubeflow.artifact_types import own_types_compiled
from pipelines.kubeflow.gated import put_behind_gate
from pipelines.kubeflow.node_input import CONTAINER_IMAGE
from pipelines.kubeflow.parameters import IMAGE, kubeflow_layout, run_parameters
from pipelines.kubeflow.parts import kubeflow_parts
from pipelines.kubeflow.platform_spec import platform_spec
from pipelines.kubeflow_section import NodeResources
from pipelines.node_ids import SPAN_GATE
from pipelines.pipeline import create_pipeline

ENTRY_POINT: Final = ("python", "-m", "pipelines.kubeflow.entry_point")

_HEADER: Final = (
    "# Made by `tallygraph kfp compile`; edit the settings or the pipeline, not this file.\n"
)


def compile_pipeline(config: PipelineConfig) -> str:
    """Compile the pipeline to YAML: the pipeline spec (schema 2.1.0), then the platform spec.

    The same settings and sources give the same text on every machine.

    Raises:
      ConfigError: the settings name a node that the pipeline does not have, or request what
        only a local run can do.
    """
    spec, deployment = _tfx_spec(config)
    nodes = {
        task_id: spec.components[task_id].executor_label for task_id in spec.root.dag.tasks
    }
    unknown = sorted(set(config.kubeflow.nodes) - set(nodes))
    if unknown:
        raise ConfigError(
            f"kubeflow.nodes: no such node. Expected: some of {', '.join(sorted(nodes))}. "
            f"Received: {', '.join(unknown)}"
        )
    for node_id, label in nodes.items():
        _let_the_run_say_the_image(spec, deployment, node_id, label)
        _configure_task(spec.root.dag.tasks[node_id], node_id, config)
        _set_resources(
            deployment.executors[label].container.resources, config.kubeflow.of_node(node_id)
        )
    put_behind_gate(spec, SPAN_GATE)
    _declare_parameters(spec, config)
    spec.default_pipeline_root = config.kubeflow.pipeline_root
    spec.deployment_spec.Clear()
    spec.deployment_spec.update(json_format.MessageToDict(deployment))
    documents = [
        json_format.MessageToDict(spec),
        platform_spec(config.kubeflow, sorted(nodes.items())),
    ]
    return _HEADER + "---\n".join(_yaml(document) for document in documents)


def _tfx_spec(
    config: PipelineConfig,
) -> tuple[kfp_pb2.PipelineSpec, kfp_pb2.PipelineDeploymentConfig]:
    pipeline = create_pipeline(
        config, "", kubeflow_layout(config), parts=kubeflow_parts(config)
    )
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image,
            default_commands=list(ENTRY_POINT),
            use_pipeline_spec_2_1=True,
        )
    )
    with own_types_compiled():
        job = runner.run(pipeline, write_out=False)
    spec = json_format.ParseDict(job["pipelineSpec"], kfp_pb2.PipelineSpec())
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec), kfp_pb2.PipelineDeploymentConfig()
    )
    return spec, deployment


def _declare_parameters(spec: kfp_pb2.PipelineSpec, config: PipelineConfig) -> None:
    declared = spec.root.input_definitions.parameters
    for parameter in run_parameters(config).values():
        declaration = declared[parameter.name]
        declaration.parameter_type = kfp_pb2.ParameterType.STRING
        declaration.description = parameter.meaning
        if parameter.default is not None:
            declaration.default_value.string_value = parameter.default


def _let_the_run_say_the_image(
    spec: kfp_pb2.PipelineSpec,
    deployment: kfp_pb2.PipelineDeploymentConfig,
    node_id: str,
    label: str,
) -> None:
    inputs = spec.components[node_id].input_definitions
    inputs.parameters[CONTAINER_IMAGE].parameter_type = kfp_pb2.ParameterType.STRING
    task = spec.root.dag.tasks[node_id]
    task.inputs.parameters[CONTAINER_IMAGE].component_input_parameter = IMAGE
    deployment.executors[label].container.image = (
        "{{$.inputs.parameters['" + CONTAINER_IMAGE + "']}}"
    )


def _configure_task(
    task: kfp_pb2.PipelineTaskSpec, node_id: str, config: PipelineConfig
) -> None:
    resources = config.kubeflow.of_node(node_id)
    task.caching_options.enable_cache = config.kubeflow.is_cached(node_id)
    if resources.retries:
        policy = task.retry_policy
        policy.max_retry_count = resources.retries
        policy.backoff_duration.seconds = resources.retry_wait_s
        policy.backoff_factor = 2.0
        policy.backoff_max_duration.seconds = 3600


def _set_resources(target: Any, resources: NodeResources) -> None:
    target.resource_cpu_request = resources.cpu_request
    target.resource_cpu_limit = resources.cpu_limit
    target.resource_memory_request = resources.memory_request
    target.resource_memory_limit = resources.memory_limit
    if resources.gpu_count:
        target.accelerator.resource_type = resources.gpu_type
        target.accelerator.resource_count = str(resources.gpu_count)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=True, allow_unicode=True, width=96)
