"""What Kubeflow's launcher does around a node's process, emulated.

After backend/src/v2/component/launcher_v2.go and objectstore/object_store.go. A folder plays
the object store; the container's file system is a fresh folder for each node, and the node's
command runs as a process of its own, which `kubeflow_process` starts.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp_pb2

from tests.pipelines.kubeflow.kubeflow_driver import MetadataStore
from tests.pipelines.kubeflow.kubeflow_process import Start

_FOLDERS = {"minio://": "minio", "gs://": "gcs", "s3://": "s3"}


class NodeFailedError(AssertionError):
    """The node's process ended with an error."""


@dataclass(frozen=True)
class ObjectStore:
    """Objects by URI. Like any object store it has no folders, so no empty ones."""

    root: Path

    def upload(self, local: Path, uri: str) -> None:
        if local.is_file():
            self._copy(local, self._path(uri))
        for file in (path for path in local.rglob("*") if path.is_file()):
            self._copy(file, self._path(uri) / file.relative_to(local))

    def download(self, uri: str, local: Path) -> None:
        source = self._path(uri)
        if source.is_file():
            self._copy(source, local)
        for file in (path for path in source.rglob("*") if path.is_file()):
            self._copy(file, local / file.relative_to(source))

    def _path(self, uri: str) -> Path:
        return self.root / uri.replace("://", "/")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def local_path(uri: str, file_system: Path) -> Path:
    """Where the launcher stages a URI."""
    for scheme, folder in _FOLDERS.items():
        if uri.startswith(scheme):
            return file_system / folder / uri.removeprefix(scheme)
    raise AssertionError(f"unsupported storage scheme: {uri}")


def run_node(
    name: str,
    command: list[str],
    given: kfp_pb2.ExecutorInput,
    environment: dict[str, str],
    file_system: Path,
    objects: ObjectStore,
    store: MetadataStore,
    start: Start,
) -> kfp_pb2.ExecutorOutput:
    """Stage the inputs, run the command, publish the outputs."""
    for listed in given.inputs.artifacts.values():
        for artifact in listed.artifacts:
            objects.download(artifact.uri, local_path(artifact.uri, file_system))
    for listed in given.outputs.artifacts.values():
        for artifact in listed.artifacts:
            # The folder above it only: the node makes its own.
            local_path(artifact.uri, file_system).parent.mkdir(parents=True, exist_ok=True)
    for parameter in given.outputs.parameters.values():
        Path(parameter.output_file).parent.mkdir(parents=True, exist_ok=True)
    work = file_system / "work"
    work.mkdir()
    log = file_system / "log.txt"
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(work),
        "TALLYGRAPH_STAGING_ROOT": str(file_system),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **environment,
    }
    if start(command, work, variables, log):
        raise NodeFailedError(f"{name} failed:\n" + log.read_text(errors="replace")[-6000:])
    text = Path(given.outputs.output_file).read_text(encoding="utf-8")
    output = json_format.Parse(text, kfp_pb2.ExecutorOutput())  # strict: no unknown field
    for key, parameter in given.outputs.parameters.items():
        if key not in output.parameter_values:
            # Text in a file of its own: all output parameters that there are here are strings.
            file = Path(parameter.output_file)
            assert file.is_file(), f"{name}: failed to read output parameter {key}"
            output.parameter_values[key].string_value = file.read_text(encoding="utf-8")
        store.record_parameter(name, key, output.parameter_values[key])
    for key, listed in given.outputs.artifacts.items():
        artifact = listed.artifacts[0]
        if key == "executor-logs":
            continue
        if output.artifacts[key].artifacts:
            reported = output.artifacts[key].artifacts[0]
            assert reported.uri in ("", artifact.uri), (
                f"{name}.{key} is not below the run's root: {reported.uri}"
            )
            artifact.metadata.update(json_format.MessageToDict(reported.metadata))
        assert "title:" in artifact.type.instance_schema, f"{name}.{key}: no title specified"
        objects.upload(local_path(artifact.uri, file_system), artifact.uri)
        store.record(name, key, artifact)
    return output
