"""A run of a compiled pipeline without a cluster: an emulation of Kubeflow's parts.

Each node's command runs as on a cluster, in a process of its own (see `kubeflow_process`) and
with a file system of its own; what is between the nodes is emulated (`kubeflow_server`,
`kubeflow_driver`, `kubeflow_launcher`). Images, pods, Argo and the network are not there: see
docs/how-to/kubeflow.md for what only a cluster shows.
"""

from __future__ import annotations

import graphlib
import shutil
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2

from tests.pipelines.kubeflow.kubeflow_driver import (
    MetadataStore,
    command_line,
    executor_input,
    resolve_placeholders,
    task_parameters,
)
from tests.pipelines.kubeflow.kubeflow_launcher import ObjectStore, run_node
from tests.pipelines.kubeflow.kubeflow_process import Start, fresh
from tests.pipelines.kubeflow.kubeflow_server import (
    UploadedPipeline,
    condition_of,
    parameters_of_a_run,
)

PIPELINE_ROOT = "minio://mlpipeline/v2/artifacts"


@dataclass
class Run:
    """A run and what it has left.

    Attributes:
      skipped: tasks of the root whose condition did not hold.
      start: how its nodes' processes are started.
    """

    run_id: str
    start: Start = fresh
    store: MetadataStore = field(default_factory=MetadataStore)
    outputs: dict[str, kfp_pb2.ExecutorOutput] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)


def run_pipeline(
    pipeline: UploadedPipeline, given: dict[str, str], folder: Path, start: Start = fresh
) -> Run:
    """Run every node, each as soon as those it depends on are done, two at a time."""
    run = Run(str(uuid.uuid4()), start)
    with ThreadPoolExecutor(max_workers=2) as pool:
        _run_dag(pipeline, "", given, run, folder, pool)
    return run


def _run_dag(
    pipeline: UploadedPipeline,
    dag: str,
    given: dict[str, str],
    run: Run,
    folder: Path,
    pool: ThreadPoolExecutor,
) -> None:
    """Run the root, or the pipeline of one of its tasks; a nested one in its place."""
    tasks = pipeline.dag(dag).tasks
    order = graphlib.TopologicalSorter(
        {name: set(task.dependent_tasks) for name, task in tasks.items()}
    )
    order.prepare()
    running: dict[Future[None], str] = {}
    while order.is_active():
        for name in order.get_ready():
            if not pipeline.is_dag(tasks[name]):
                running[pool.submit(run_task, pipeline, name, given, run, folder)] = name
                continue
            if set(tasks[name].dependent_tasks).isdisjoint(run.skipped) and _is_triggered(
                pipeline, name, given, run
            ):
                _run_dag(pipeline, name, given, run, folder, pool)
            else:
                run.skipped.append(name)
            order.done(name)
        done = wait(running, return_when=FIRST_COMPLETED).done if running else set()
        for future in done:
            name = running.pop(future)
            if future.exception() is not None:
                pool.shutdown(cancel_futures=True)
            future.result()
            order.done(name)


def _is_triggered(
    pipeline: UploadedPipeline, name: str, given: dict[str, str], run: Run
) -> bool:
    task = pipeline.dag().tasks[name]
    condition = condition_of(task)
    if condition is None:
        return True
    parameters = task_parameters(
        pipeline, name, task, parameters_of_a_run(pipeline, given), run.store
    )
    return parameters[condition[0]].string_value == condition[1]


def _scope(
    pipeline: UploadedPipeline, task: str, given: dict[str, str], run: Run
) -> dict[str, struct_pb2.Value]:
    """The parameters of the pipeline that a task is in: the run's, or its parent's inputs."""
    parameters = parameters_of_a_run(pipeline, given)
    for name, parent in pipeline.dag().tasks.items():
        if pipeline.is_dag(parent) and task in pipeline.dag(name).tasks:
            return task_parameters(pipeline, name, parent, parameters, run.store)
    return parameters


def run_task(
    pipeline: UploadedPipeline, name: str, given: dict[str, str], run: Run, folder: Path
) -> None:
    """Run one node, on the outputs that others have left in the run."""
    # As the driver does: what another attempt has left is not there.
    attempt = str(uuid.uuid4())
    task_root = (
        f"{PIPELINE_ROOT}/{pipeline.spec.pipeline_info.name}/{run.run_id}/{name}/{attempt}"
    )
    file_system = folder / "containers" / f"{name}-{attempt}"
    file_system.mkdir(parents=True)
    staged = file_system / "minio" / task_root.removeprefix("minio://")
    parameters = task_parameters(
        pipeline,
        name,
        pipeline.tasks[name],
        _scope(pipeline, name, given, run),
        run.store,
    )
    inputs = executor_input(
        pipeline, name, parameters, run.store, task_root, str(staged), str(file_system)
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
        run.start,
    )
    shutil.rmtree(file_system)  # a container is gone when it is done


def _environment(pipeline: UploadedPipeline, name: str, run: Run) -> dict[str, str]:
    """Variables from fields of the pod, of which this emulation has the run's label."""
    config = pipeline.platform[pipeline.component(name).executor_label]
    pod = {"metadata.labels['pipeline/runid']": run.run_id}
    return {
        entry["name"]: pod[entry["fieldPath"]] for entry in config.get("fieldPathAsEnv", [])
    }
