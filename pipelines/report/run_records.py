"""A run as ML Metadata recorded it: its nodes, and the artifacts they read and wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_proto

_RUN_CONTEXT: Final = "pipeline_run"
_PIPELINE_CONTEXT: Final = "pipeline"
_NODE_CONTEXT: Final = "node"
_INPUT_EVENTS: Final = (mlmd_proto.Event.INPUT, mlmd_proto.Event.DECLARED_INPUT)
_OUTPUT_EVENTS: Final = (mlmd_proto.Event.OUTPUT, mlmd_proto.Event.DECLARED_OUTPUT)


class RunNotFoundError(LookupError):
    """ML Metadata has no such run, or there is no ML Metadata."""


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """An artifact.

    Attributes:
      key: under what name its node wrote or read it, such as ``transform_graph``.
      properties: of its type and custom ones together.
    """

    id: int
    type: str
    key: str
    uri: str
    properties: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """One execution of a node.

    Attributes:
      state: ``complete``, ``cached``, ``failed``, ``running``, ``canceled`` or ``unknown``.
      started_ms, ended_ms: milliseconds since 1970, of the record's making and last change.
      properties: what the executor was given.
    """

    id: int
    node_id: str
    state: str
    started_ms: int
    ended_ms: int
    properties: Mapping[str, str | int | float]
    inputs: tuple[ArtifactRecord, ...]
    outputs: tuple[ArtifactRecord, ...]

    @property
    def seconds(self) -> float:
        return max(0, self.ended_ms - self.started_ms) / 1000

    @property
    def made_results(self) -> bool:
        return self.state == "complete"


class RunRecords:
    """The executions of one run, and of earlier ones whose results it reused."""

    def __init__(self, metadata_file: str | Path, run_id: str) -> None:
        """Open ML Metadata to read.

        Raises:
          RunNotFoundError: there is no such file, or no such run in it.
        """
        if not Path(metadata_file).is_file():
            raise RunNotFoundError(
                f"{metadata_file} does not exist. Expected the ML Metadata of a pipeline that "
                "has run; `tallygraph run` writes it."
            )
        connection = mlmd_proto.ConnectionConfig()
        connection.sqlite.filename_uri = str(metadata_file)
        connection.sqlite.connection_mode = mlmd_proto.SqliteMetadataSourceConfig.READONLY
        self._store = mlmd.MetadataStore(connection)
        self.run_id = run_id
        context = self._store.get_context_by_type_and_name(_RUN_CONTEXT, run_id)
        if context is None:
            known = self._store.get_contexts_by_type(_RUN_CONTEXT)
            latest = max((found.name for found in known), default="none")
            raise RunNotFoundError(
                f"{metadata_file} has no run {run_id!r}. Its latest run: {latest}"
            )
        executions = self._store.get_executions_by_context(context.id)
        self.executions = tuple(sorted(self._read(executions), key=lambda found: found.id))
        self.pipeline_name = self._pipeline_name(executions)

    def output(
        self, artifact_type: str, key: str | None = None, but: str = "", of: str = ""
    ) -> ArtifactRecord | None:
        """The last artifact of a type that a node of this run wrote or reused.

        Args:
          but: a node whose outputs are not meant.
          of: the only node whose outputs are meant; empty for any.
        """
        for execution in reversed(self.executions):
            if execution.node_id == but or of not in ("", execution.node_id):
                continue
            for artifact in execution.outputs:
                if artifact.type == artifact_type and key in (None, artifact.key):
                    return artifact
        return None

    def maker(self, artifact: ArtifactRecord) -> ExecutionRecord | None:
        """The execution that made an artifact, be it of an earlier run."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        ids = {event.execution_id for event in events if event.type in _OUTPUT_EVENTS}
        found = self._read(self._store.get_executions_by_id(sorted(ids))) if ids else []
        # A cached execution names the artifacts it reused as its outputs too.
        made = [execution for execution in found if execution.made_results]
        return min(made or found, key=lambda execution: execution.id, default=None)

    def _read(self, executions: Iterable[Any]) -> list[ExecutionRecord]:
        executions = list(executions)
        if not executions:
            return []
        events = self._store.get_events_by_execution_ids([found.id for found in executions])
        ids = sorted({event.artifact_id for event in events})
        artifacts = {found.id: found for found in self._store.get_artifacts_by_id(ids)}
        types = self._type_names(artifacts.values())
        inputs: dict[int, list[ArtifactRecord]] = {}
        outputs: dict[int, list[ArtifactRecord]] = {}
        for event in events:
            side = (
                inputs
                if event.type in _INPUT_EVENTS
                else outputs
                if event.type in _OUTPUT_EVENTS
                else None
            )
            if side is not None:
                artifact = artifacts[event.artifact_id]
                record = ArtifactRecord(
                    id=artifact.id,
                    type=types[artifact.type_id],
                    key=event.path.steps[0].key if event.path.steps else "",
                    uri=artifact.uri,
                    properties={
                        **_values(artifact.properties),
                        **_values(artifact.custom_properties),
                    },
                )
                side.setdefault(event.execution_id, []).append(record)
        return [
            ExecutionRecord(
                id=found.id,
                node_id=self._node_id(found.id),
                state=mlmd_proto.Execution.State.Name(found.last_known_state).lower(),
                started_ms=found.create_time_since_epoch,
                ended_ms=found.last_update_time_since_epoch,
                properties={
                    **_values(found.properties),
                    **_values(found.custom_properties),
                },
                inputs=tuple(inputs.get(found.id, ())),
                outputs=tuple(outputs.get(found.id, ())),
            )
            for found in executions
        ]

    def _type_names(self, artifacts: Iterable[Any]) -> dict[int, str]:
        ids = sorted({artifact.type_id for artifact in artifacts})
        found = self._store.get_artifact_types_by_id(ids) if ids else []
        return {kind.id: kind.name for kind in found}

    def _node_id(self, execution_id: int) -> str:
        for context in self._store.get_contexts_by_execution(execution_id):
            if context.type == _NODE_CONTEXT:
                # Named "<pipeline>.<node>"; a pipeline's name may hold dots, a node's not.
                return str(context.name.rsplit(".", 1)[-1])
        return "unknown node"

    def _pipeline_name(self, executions: Iterable[Any]) -> str:
        for execution in executions:
            for context in self._store.get_contexts_by_execution(execution.id):
                if context.type == _PIPELINE_CONTEXT:
                    return str(context.name)
        return "unknown pipeline"


def _values(properties: Mapping[str, Any]) -> dict[str, str | int | float]:
    found = {}
    for name, value in properties.items():
        which = value.WhichOneof("value")
        if which in ("string_value", "int_value", "double_value", "bool_value"):
            found[name] = getattr(value, which)
    return found
