"""Finds the versions in a model's folder, and those that should be served."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from serving.version_folders import SAVED_MODEL, numbered_folders

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionOnDisk:
    """A complete version folder.

    Attributes:
      fingerprint: changes when the version's ``saved_model.pb`` is written again.
    """

    number: int
    path: Path
    fingerprint: tuple[int, int, int]


def versions_on_disk(base_path: Path) -> dict[int, VersionOnDisk]:
    """Return every complete version in a model's folder.

    A version is a folder whose name is a positive integer and which holds
    ``saved_model.pb``. TensorFlow Serving checks only the name, and then fails to load an
    incomplete version; Pusher writes ``saved_model.pb`` last, so waiting for it ensures that
    the version is complete.

    Raises:
      OSError: the folder is missing or cannot be read.
    """
    found: dict[int, VersionOnDisk] = {}
    for number, child in numbered_folders(base_path).items():
        try:
            stat = (child / SAVED_MODEL).stat()
        except OSError:
            continue
        fingerprint = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        found[number] = VersionOnDisk(number, child, fingerprint)
    return found


def aspired_versions(config: ModelConfig) -> dict[int, VersionOnDisk]:
    """Return the versions that the model's version policy requests and that are on disk.

    Raises:
      OSError: the base path is missing or cannot be read; the caller keeps its versions.
    """
    found = versions_on_disk(Path(config.base_path))
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found
    if choice == "specific":
        wanted = set(policy.specific.versions)
        for number in sorted(wanted - set(found)):
            _LOG.warning(
                "Version %d of servable %s, which was requested to be served as a "
                "'specific' version in the servable's version policy, was not found in the "
                "file system",
                number,
                config.name,
            )
        return {number: found[number] for number in sorted(wanted & set(found))}
    count = max(policy.latest.num_versions, 1)
    return {number: found[number] for number in sorted(found)[-count:]}
