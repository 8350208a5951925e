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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
    """Run every node, each as soon as those it depends on are done, two at a time."""
    run = Run(run_id=str(uuid.uuid4()))
    tasks = pipeline.spec.root.dag.tasks
    order = graphlib.TopologicalSorter(
        {name: set(task.dependent_tasks) for name, task in tasks.items()}
    )
    order.prepare()
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        while order.is_active():
            for name in order.get_ready():
                running[pool.submit(run_task, pipeline, name, given, run, folder)] = name
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                if future.exception() is not None:
                    pool.shutdown(cancel_futures=True)
                future.result()
                order.done(name)
    return run


def run_task(
    pipeline: UploadedPipeline, name: str, given: dict[str, str], run: Run, folder: Path
) -> None:
    """Run one node, on the outputs that others have left in the run."""
    parameters = parameters_of_a_run(pipeline, given)
    # As the driver does: what another attempt has left is not there.
    attempt = str(uuid.uuid4())
    task_root = (
        f"{PIPELINE_ROOT}/{pipeline.spec.pipeline_info.name}/{run.run_id}/{name}/{attempt}"
    )
    file_system = folder / "containers" / f"{name}-{attempt}"
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
        ObjectStore(folder / "objects"),
        run.store,
    )
    shutil.rmtree(file_system)  # a container is gone when it is done


def _environment(pipeline: UploadedPipeline, name: str, run: Run) -> dict[str, str]:
    """Variables from fields of the pod, of which this emulation has the run's label."""
    config = pipeline.platform[pipeline.component(name).executor_label]
    pod = {"metadata.labels['pipeline/runid']": run.run_id}
    return {
        entry["name"]: pod[entry["fieldPath"]] for entry in config.get("fieldPathAsEnv", [])
    }
