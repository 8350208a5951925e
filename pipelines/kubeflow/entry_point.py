"""The entry point of the pipeline's containers: runs one node, under Kubeflow's launcher.

    python -m pipelines.kubeflow.entry_point --executor_class_path=… \\
        --json_serialized_invocation_args=<ExecutorInput> \\
        --json_serialized_inputs_spec_args=<ComponentInputsSpec> [Beam options …]

TFX has its own entry point, written for Google's managed service; this one corrects what
open-source Kubeflow does differently (see docs/how-to/kubeflow.md).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from absl import logging
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2
from tfx.components.evaluator import executor as evaluator_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as tfx_utils
from tfx.orchestration.portable import outputs_utils
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import import_utils

from pipelines.kubeflow.node_input import NodeInput, read_node_input
from pipelines.kubeflow.platform_spec import RUN_ID_VARIABLE
from pipelines.kubeflow.staging import Staging
from pipelines.node_code import model_code_version

# Meter's, empty as compiled: the code is the image's, so the image has to say.
_CODE_VERSION: Final = "code_version"
_PACKAGING_OPTIONS: Final = (
    "--requirements_file",
    "--setup_file",
    "--extra_package",
    "--sdk_container_image",
)


def main(arguments: list[str] | None = None) -> None:
    """Run one node and write its ExecutorOutput."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}")
    known, beam_args = parser.parse_known_args(arguments)
    logging.set_verbosity(logging.INFO)
    node = read_node_input(
        known.json_serialized_invocation_args,
        known.json_serialized_inputs_spec_args,
        Staging.of_environment(),
    )
    executor_class = import_utils.import_class_by_path(known.executor_class_path)
    run_node(executor_class, node, beam_args)


def run_node(executor_class: type[BaseExecutor], node: NodeInput, beam_args: list[str]) -> None:
    """Run an executor and write what Kubeflow needs to know about its outputs."""
    with tempfile.TemporaryDirectory(prefix="tallygraph-node-") as work:
        executor = executor_class(_context(executor_class, beam_args, Path(work)))
        executor.Do(node.inputs, node.outputs, _with_code_version(node.properties))
    outputs_utils.tag_output_artifacts_with_version(node.outputs)
    if issubclass(executor_class, evaluator_executor.Executor):
        # TFX's ids are hashes that no JSON number can hold; Kubeflow's names are text.
        tfx_utils.refactor_model_blessing(
            artifact_utils.get_single_instance(node.outputs[specs.BLESSING_KEY]),
            node.name_of_id,
        )
    output = executor_output(node)
    file = Path(node.output_file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json_format.MessageToJson(output, sort_keys=True), encoding="utf-8")


def executor_output(node: NodeInput) -> kfp_pb2.ExecutorOutput:
    """Return what Kubeflow records: each output's URI in the object store, and its properties.

    TFX's executors have only artifacts as outputs: an output parameter is the property of the
    same name of one of them.
    """
    output = kfp_pb2.ExecutorOutput()
    translated = tfx_utils.translate_executor_output(node.outputs, node.name_of_id)
    for key, listed in translated.items():
        for artifact in listed.artifacts:
            # The launcher refuses a URI that is not below the run's root.
            artifact.uri = node.output_uris[key]
            _drop_nulls(artifact)
            for name in node.output_parameters:
                if name in artifact.metadata.fields:
                    output.parameter_values[name].CopyFrom(artifact.metadata.fields[name])
        output.artifacts[key].CopyFrom(listed)
    return output


def _drop_nulls(artifact: kfp_pb2.RuntimeArtifact) -> None:
    """The launcher fails on a property without a value."""
    empty = [
        name
        for name, value in artifact.metadata.fields.items()
        if value.WhichOneof("kind") in (None, "null_value")
    ]
    for name in empty:
        del artifact.metadata.fields[name]


def _context(
    executor_class: type[BaseExecutor], beam_args: list[str], work: Path
) -> BaseExecutor.Context:
    run_id = os.environ.get(RUN_ID_VARIABLE, "")
    common: dict[str, Any] = {
        "unique_id": "node",
        "tmp_dir": str(work),
        "pipeline_run_id": run_id,
    }
    if not issubclass(executor_class, BaseBeamExecutor):
        return executor_class.Context(extra_flags=beam_args, **common)
    return executor_class.Context(beam_pipeline_args=_with_packaging(beam_args, work), **common)


def _with_packaging(beam_args: list[str], work: Path) -> list[str]:
    """Keep TFX from packing itself anew for every node, unless the options say how to pack."""
    if any(argument.startswith(_PACKAGING_OPTIONS) for argument in beam_args):
        return beam_args
    empty = work / "no-requirements.txt"
    empty.touch()
    return [*beam_args, f"--requirements_file={empty}"]


def _with_code_version(properties: dict[str, Any]) -> dict[str, Any]:
    if properties.get(_CODE_VERSION) != "":
        return properties
    return {**properties, _CODE_VERSION: model_code_version()}


if __name__ == "__main__":
    main(sys.argv[1:])
