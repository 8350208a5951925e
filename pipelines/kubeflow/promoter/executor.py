"""Copies a model to the volume, then promotes it from there."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any, Final

from tfx import types
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.model_registry.digest import digest_of
from components.model_registry.port import RegisteredVersion
from components.promoter import executor as promoter
from components.promoter.rules import Decision

MODELS_DIR_KEY: Final = "models_dir"


class Executor(promoter.Executor):
    """Promoter's executor, for a copy that outlives the pod."""

    def _consider(
        self, input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]
    ) -> tuple[RegisteredVersion, Decision]:
        model = artifact_utils.get_single_instance(input_dict[promoter.MODEL_KEY])
        kept = keep(
            Path(path_utils.serving_model_path(model.uri)),
            Path(exec_properties[MODELS_DIR_KEY]) / exec_properties[promoter.MODEL_NAME_KEY],
        )
        kept_model = standard_artifacts.Model()
        kept_model.uri = str(kept)
        kept_model.mlmd_artifact.id = model.id
        return super()._consider(
            {**input_dict, promoter.MODEL_KEY: [kept_model]}, exec_properties
        )


def keep(model_dir: Path, folder: Path) -> Path:
    """Copy a SavedModel into a folder, atomically.

    Returns:
      the folder of a Model artifact, named after a hash of the model's bytes: the same model,
      promoted again, has the same folder.
    """
    target = folder / digest_of(model_dir)
    if target.exists():
        return target
    staging = folder / f".staging-{uuid.uuid4().hex}"
    try:
        shutil.copytree(model_dir, path_utils.serving_model_dir(str(staging)))
        os.sync()
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.exists():  # else another pod was first, with the same bytes
            raise
    return target
