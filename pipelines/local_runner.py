"""Runs the pipeline in this process, node after node, and says how it goes.

TFX's LocalDagRunner does the work; this runner adds what a person at a terminal needs: an
event before and after each node, whether it came from the cache, and its time.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import data_types, launcher, runtime_parameter_utils
from tfx.orchestration.portable.tfx_runner import IrBasedRunner
from tfx.proto.orchestration import pipeline_pb2

from pipelines.node_definitions import NodeDefinition, node_definitions


@dataclass(frozen=True)
class NodeResult:
    """One finished node: its id, its time in seconds, and whether it was cached."""

    node_id: str
    seconds: float
    cached: bool


class NodeFailedError(RuntimeError):
    """A node of the pipeline failed. What was complete before stays; run again to go on.

    Attributes:
      node_id: the node.
      root: the error nearest to the fault.
      what: that error in words, with its type.
    """

    def __init__(self, node_id: str, cause: BaseException):
        self.node_id = node_id
        self.root = _root_cause(cause)
        message = str(self.root).strip() or "no message"
        self.what = f"{type(self.root).__name__}: {message}"
        super().__init__(f"{node_id}: {self.what}")


class RunListener(Protocol):
    """Hears of nodes before the run, and as they start and end."""

    def run_started(self, nodes: Sequence[NodeDefinition]) -> None: ...

    def node_started(self, index: int, count: int, node_id: str) -> None: ...

    def node_finished(self, index: int, count: int, result: NodeResult) -> None: ...


class LocalRunner(IrBasedRunner):
    """LocalDagRunner with events. One instance is one run."""

    def __init__(self, listener: RunListener):
        self._listener = listener
        self.results: list[NodeResult] = []
        # As TFX's runner names runs: their order in time is their order as text.
        self.run_id = datetime.datetime.now().isoformat()

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
    ) -> None:
        """Run every node in the order of the pipeline.

        Raises:
          NodeFailedError: a node failed; later ones were not run.
          ValueError: `run_options` were given; partial runs are what the cache is for.
        """
        if run_options:
            raise ValueError("partial runs are not supported: unchanged nodes are cached.")
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = deployment.metadata_connection_config
        connection_config = getattr(connection, connection.WhichOneof("connection_config"))
        self._listener.run_started(node_definitions(pipeline))
        nodes = [node.pipeline_node for node in pipeline.nodes]
        for index, node in enumerate(nodes, start=1):
            node_id = node.node_info.id
            self._listener.node_started(index, len(nodes), node_id)
            started = time.monotonic()
            node_launcher = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection_config),
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
            )
            try:
                execution = node_launcher.launch()
            except Exception as error:
                logging.exception("node %s failed", node_id)
                raise NodeFailedError(node_id, error) from error
            state = _execution_state(connection_config, execution)
            if state == metadata_store_pb2.Execution.FAILED:
                # TFX records inputs that cannot be resolved without raising.
                raise NodeFailedError(node_id, RuntimeError("its inputs could not be resolved"))
            result = NodeResult(
                node_id=node_id,
                seconds=time.monotonic() - started,
                cached=state == metadata_store_pb2.Execution.CACHED,
            )
            self.results.append(result)
            self._listener.node_finished(index, len(nodes), result)


def _execution_state(
    connection_config: metadata_store_pb2.ConnectionConfig,
    execution: data_types.ExecutionInfo | None,
) -> int | None:
    if execution is None or execution.execution_id is None:
        return None
    with metadata.Metadata(connection_config) as handle:
        (recorded,) = handle.store.get_executions_by_id([execution.execution_id])
    return int(recorded.last_known_state)


def _root_cause(error: BaseException) -> BaseException:
    """The error nearest to the fault: Beam and TFX wrap errors in others."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
