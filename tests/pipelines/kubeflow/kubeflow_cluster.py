"""A run of a compiled pipeline without a cluster: an emulation of Kubeflow's parts.

Each node's command runs as on a cluster, in a process of its own and with a file system of
its own; what is between the nodes is emulated (`kubeflow_server`, `kubeflow_driver`,
`kubeflow_launcher`). Images, pods, Argo and the network are not there: see docs/kubeflow.md
for what only a cluster shows.
"""

from __future__ import annotations

import graphlib
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2
from kubeflow_driver import MetadataStore, command_line, executor_input, resolve_placeholders
from kubeflow_launcher import ObjectStore, run_node
from kubeflow_server import UploadedPipeline, parameters_of_a_run

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"


@dataclass
class Run:
    """A run and what it has left."""

    run_id: str
    store: MetadataStore = field(default_factory=MetadataStore)
    outputs: dict[str, kfp_pb2.ExecutorOutput] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)


def run_pipeline(pipeline: UploadedPipeline, given: dict[str, str], folder: Path) -> Run:
    """Run every node, in the order of their dependencies."""
    parameters = parameters_of_a_run(pipeline, given)
    run = Run(run_id=str(uuid.uuid4()))
    objects = ObjectStore(folder / "objects")
    tasks = pipeline.spec.root.dag.tasks
    order = graphlib.TopologicalSorter(
        {name: set(task.dependent_tasks) for name, task in tasks.items()}
    ).static_order()
    for name in order:
        task_root = f"{PIPELINE_ROOT}/{pipeline.spec.pipeline_info.name}/{run.run_id}/{name}"
        file_system = folder / "containers" / name
        file_system.mkdir(parents=True)
        staged = file_system / "minio" / task_root.removeprefix("minio://")
        inputs = executor_input(
            pipeline, name, parameters, run.store, task_root, f"{staged}/output_metadata.json"
        )
        container = pipeline.container(name)
        run.images.add(resolve_placeholders(container.image, inputs))
        run.outputs[name] = run_node(
            name,
            command_line(container, inputs),
            inputs,
            _environment(pipeline, name, run),
            file_system,
            objects,
            run.store,
        )
        shutil.rmtree(file_system)  # a container is gone when it is done
    return run


def _environment(pipeline: UploadedPipeline, name: str, run: Run) -> dict[str, str]:
    """Variables from fields of the pod, of which this emulation has the run's label."""
    config = pipeline.platform[pipeline.component(name).executor_label]
    pod = {"metadata.labels['pipeline/runid']": run.run_id}
    return {
        entry["name"]: pod[entry["fieldPath"]] for entry in config.get("fieldPathAsEnv", [])
    }
