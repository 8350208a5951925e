"""Publishes a directory as a model server's new version, by a rename."""

from __future__ import annotations

import filecmp
import os
import shutil
import time
import uuid
from pathlib import Path

from serving.version_folders import MOST, SAVED_MODEL, numbered_folders

# Model servers look at folders named by a number only, so they pass over this one.
STAGING_PREFIX = ".staging-"
# A staging folder this old belongs to a push that was killed.
STALE_STAGING_S = 3600


class PushError(RuntimeError):
    """The version could not be written. Nothing is visible to a server; safe to retry."""


def publish_version(model_dir: Path, base_dir: Path) -> Path:
    """Make `model_dir` the newest version in `base_dir`, atomically.

    Versions are numbered by the time in seconds since 1970, increased if necessary: a new
    version's number is always the highest. If the newest version already contains
    the same bytes (a push was killed after its rename and started again), it is returned
    unchanged.

    Args:
      model_dir: a SavedModel directory.
      base_dir: folder of the served model, created if missing.

    Returns:
      The version's directory.

    Raises:
      PushError: `model_dir` is not a SavedModel, `base_dir` cannot be written, or no number is
        left above the newest version's.
    """
    if not (model_dir / SAVED_MODEL).is_file():
        raise PushError(f"{model_dir} is not a SavedModel: it has no saved_model.pb.")
    try:
        base_dir.mkdir(parents=True, exist_ok=True)
        _remove_stale_staging(base_dir)
        versions = numbered_folders(base_dir)
        newest = max(versions, default=0)
        if newest and _same_tree(model_dir, versions[newest]):
            return versions[newest]
        version = max(int(time.time()), newest + 1)
        if version > MOST:
            raise PushError(
                f"{versions[newest]} is the highest version that a model server takes. "
                "Expected room for a newer one. Remove or rename this folder. Nothing was "
                "published."
            )
        staging = base_dir / f"{STAGING_PREFIX}{uuid.uuid4().hex}"
        shutil.copytree(model_dir, staging)
        _sync_tree(staging)
        target = base_dir / str(version)
        staging.rename(target)  # fails where somebody else took the name meanwhile
        _sync(base_dir)
    except OSError as error:
        raise PushError(
            f"could not write a version into {base_dir}: {error}. Nothing was published."
        ) from error
    return target


def _same_tree(left: Path, right: Path) -> bool:
    names = [
        sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        for root in (left, right)
    ]
    if names[0] != names[1]:
        return False
    _, different, unreadable = filecmp.cmpfiles(left, right, names[0], shallow=False)
    return not different and not unreadable


def _remove_stale_staging(base_dir: Path) -> None:
    for path in base_dir.glob(f"{STAGING_PREFIX}*"):
        if time.time() - path.stat().st_mtime > STALE_STAGING_S:
            shutil.rmtree(path)


def _sync_tree(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        _sync(path)


def _sync(path: Path) -> None:
    """Make a file's or folder's content last through a power cut before it is named."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
