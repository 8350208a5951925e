"""Deletes old versions from disk, never one that is or may be served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from serving.model_config import ModelConfigError, ModelConfigFile, model_of
from serving.rollout.rollout import RolloutError, versions_in
from serving.version_folders import version_folder

# A server looks at folders named by a number only.
_DELETED: Final = ".deleted-"


def prune(config: ModelConfigFile, model_name: str, base_path: Path, keep: int) -> list[int]:
    """Delete all but the newest versions of a model.

    A version that has a label, or that the model config lists by number, is always kept and
    does not count as one of the newest.

    Args:
      config: of the servers; if there is none yet, nothing has a label.
      base_path: the model's folder.
      keep: number of other versions to keep, at least 1: without labels, the newest is served.

    Returns:
      The deleted versions, in ascending order.

    Raises:
      ModelConfigError: the file is not valid, does not have the model or has it at another
        path, or is being changed by another program.
      RolloutError: a version cannot be deleted; those before it were deleted.
    """
    if keep < 1:
        raise RolloutError(f"keep must be at least 1. Received: {keep}")
    # Locked, so that no label comes to a version that is about to be deleted.
    with config.locked():
        base_path = base_path.resolve()
        model = _model(config, model_name, base_path)
        needed = {
            *model.version_labels.values(),
            *model.model_version_policy.specific.versions,
        }
        free = [version for version in versions_in(base_path) if version not in needed]
        # A server may serve several of the newest.
        keep = max(keep, model.model_version_policy.latest.num_versions)
        doomed = [] if model.model_version_policy.HasField("all") else free[:-keep]
        try:
            for left in base_path.glob(f"{_DELETED}*"):
                shutil.rmtree(left)  # of an earlier call that was killed
            for version in doomed:
                hidden = base_path / f"{_DELETED}{version}"
                version_folder(base_path, version).rename(hidden)
                shutil.rmtree(hidden)
        except OSError as error:
            raise RolloutError(f"Cannot delete from {base_path}: {error}") from None
    return doomed


def _model(config: ModelConfigFile, name: str, base_path: Path) -> ModelConfig:
    if not config.path.exists():
        return ModelConfig(name=name, base_path=str(base_path))
    model = model_of(config.read(), name)
    if Path(model.base_path) != base_path:
        raise ModelConfigError(
            f"{config.path} has the model {name} at {model.base_path}. Received: {base_path}. "
            "Nothing was deleted."
        )
    return model
