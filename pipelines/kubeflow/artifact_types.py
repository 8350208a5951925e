"""Converts this project's artifact types to Kubeflow's terms.

TFX writes a type into a compiled pipeline as a schema with a title, and finds the class of a
title in a table of its own types. It supports a type of another project only if its `TYPE_NAME`
is an import path, and then without properties. Here each class of `components.artifacts` gets
the title `tallygraph.<TYPE_NAME>` and its properties.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import yaml
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types.artifact import Artifact, PropertyType
from tfx.utils import name_utils

from components import artifacts

_NAMESPACE: Final = "tallygraph"
_SCHEMA_TYPES: Final = {
    PropertyType.INT: "integer",
    PropertyType.FLOAT: "number",
    PropertyType.STRING: "string",
}

OWN_TYPES: Final = tuple(
    value
    for value in vars(artifacts).values()
    if isinstance(value, type) and issubclass(value, Artifact) and value is not Artifact
)


def title_of(artifact_type: type[Artifact]) -> str:
    """Return the title of one of this project's types."""
    return f"{_NAMESPACE}.{artifact_type.TYPE_NAME}"


def schema_of(artifact_type: type[Artifact]) -> str:
    """Return the schema of one of this project's types, as YAML."""
    schema: dict[str, Any] = {"title": title_of(artifact_type), "type": "object"}
    properties = artifact_type.PROPERTIES or {}
    if properties:
        schema["properties"] = {
            name: {"type": _SCHEMA_TYPES[declared.type]}
            for name, declared in properties.items()
        }
    return yaml.safe_dump(schema, sort_keys=False)


def know_own_types() -> None:
    """Let TFX find this project's classes by their titles. Can be called more than once."""
    for artifact_type in OWN_TYPES:
        compiler_utils.TITLE_TO_CLASS_PATH[title_of(artifact_type)] = name_utils.get_full_name(
            artifact_type
        )


@contextlib.contextmanager
def own_types_compiled() -> Iterator[None]:
    """Let TFX's compiler write this project's types inside the block.

    The compiler has no extension point for them, so its function is replaced meanwhile.
    """
    of_tfx = compiler_utils.get_artifact_schema

    def get_artifact_schema(artifact_type: type[Artifact]) -> str:
        return schema_of(artifact_type) if artifact_type in OWN_TYPES else of_tfx(artifact_type)

    compiler_utils.get_artifact_schema = get_artifact_schema
    try:
        yield
    finally:
        compiler_utils.get_artifact_schema = of_tfx
