"""Puts a compiled pipeline's nodes behind its gate.

All of them except the gate become a nested pipeline, a task of the root that runs only if the
gate says so, as kfp's own compiler compiles `dsl.If`.
"""

from __future__ import annotations

from typing import Final

from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2

from pipelines.kubeflow.parameters import SPANS, START_FROM, TODO

_STRING: Final = kfp_pb2.ParameterType.STRING

TRAINING: Final = "Training"
TRAIN: Final = "train"
# Properties of the gate's report that others need before they start.
OUTPUT_PARAMETERS: Final = (TODO, SPANS, START_FROM)


def put_behind_gate(spec: kfp_pb2.PipelineSpec, gate: str) -> None:
    """Change a pipeline in place.

    Args:
      spec: a pipeline whose nodes are all tasks of its root.
      gate: the node whose output parameters the others can read like those of the run.
    """
    root = spec.root.dag.tasks
    training = spec.components[TRAINING]
    task = kfp_pb2.PipelineTaskSpec(dependent_tasks=[gate])
    task.task_info.name = TRAINING
    task.component_ref.name = TRAINING
    task.trigger_policy.condition = f"inputs.parameter_values['{TODO}'] == '{TRAIN}'"
    needed = {TODO}
    for name in [name for name in root if name != gate]:
        training.dag.tasks[name].CopyFrom(root[name])
        del root[name]
        needed |= {
            source.component_input_parameter
            for source in training.dag.tasks[name].inputs.parameters.values()
            if source.component_input_parameter
        }
    outputs = spec.components[gate].output_definitions
    for name in sorted(needed):
        training.input_definitions.parameters[name].parameter_type = _STRING
        source = task.inputs.parameters[name]
        if name in OUTPUT_PARAMETERS:
            source.task_output_parameter.producer_task = gate
            source.task_output_parameter.output_parameter_key = name
        else:
            source.component_input_parameter = name
    for name in OUTPUT_PARAMETERS:
        outputs.parameters[name].parameter_type = _STRING
        spec.root.input_definitions.parameters.pop(name, None)
    root[TRAINING].CopyFrom(task)
