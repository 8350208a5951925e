"""Which versions of a model its folder holds, and which of them are to be served."""

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
    """Every complete version under a model's folder.

    A version is a folder whose name is a positive integer and which holds
    ``saved_model.pb``. TensorFlow Serving asks for the name only, and then fails to load
    what is not complete; Pusher writes ``saved_model.pb`` last, so that waiting for it
    never sees half a version.

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
    """The versions that the model's version policy asks for and that are on disk.

    Raises:
      OSError: the base path is missing or cannot be read; the caller keeps what it has.
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
