"""The folders of a served model's versions: which names are versions, and which folder is one.

TensorFlow Serving takes every folder below a model's base path whose name is a positive int64,
with leading zeros or without. So a version is a folder, and never ``str(number)``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

SAVED_MODEL: Final = "saved_model.pb"
MOST: Final = 2**63 - 1

_SHARD: Final = re.compile(r"variables\.data-(\d{5})-of-(\d{5})")
_VERSION: Final = re.compile(r"0*[1-9][0-9]{0,18}")


def version_number(name: str) -> int | None:
    """The version that a folder of this name is, 1 to ``MOST``; None for any other name."""
    if not _VERSION.fullmatch(name):
        return None
    number = int(name)
    return number if number <= MOST else None


def numbered_folders(base_path: Path) -> dict[int, Path]:
    """Everything below a model's folder that is named by a version, rising.

    Of two names for one version, such as ``1`` and ``01``, the one that sorts last holds.

    Raises:
      OSError: the folder is missing or cannot be read.
    """
    found = {
        number: child
        for child in sorted(base_path.iterdir())
        if (number := version_number(child.name)) is not None
    }
    return dict(sorted(found.items()))


def complete_versions(base_path: Path) -> dict[int, Path]:
    """The versions that hold a SavedModel, rising; none where the folder cannot be read."""
    try:
        numbered = numbered_folders(base_path)
    except OSError:
        return {}
    return {n: folder for n, folder in numbered.items() if (folder / SAVED_MODEL).is_file()}


def version_folder(base_path: Path, number: int) -> Path:
    """The folder of a version; where there is none, the one it would have."""
    try:
        return numbered_folders(base_path).get(number, base_path / str(number))
    except OSError:
        return base_path / str(number)


def why_not_loadable(version: Path) -> str | None:
    """What a version's folder lacks, as far as that shows without TensorFlow; None if nothing.

    A server that fails to load a version may take minutes to say so.
    """
    try:
        Empty.FromString((version / SAVED_MODEL).read_bytes())  # any message can be read as one
    except OSError as error:
        return f"{SAVED_MODEL} cannot be read: {error.strerror}"
    except DecodeError:
        return f"{SAVED_MODEL} is no protocol buffer, or was cut off"
    if (version / SAVED_MODEL).stat().st_size == 0:
        return f"{SAVED_MODEL} is empty"
    variables = version / "variables"
    shards = [match for path in variables.glob("*") if (match := _SHARD.fullmatch(path.name))]
    has_index = (variables / "variables.index").is_file()
    if not shards and not has_index:
        return None  # a model without variables
    if not has_index:
        return "variables/variables.index is missing"
    expected = int(shards[0][2]) if shards else 1
    if {int(shard[1]) for shard in shards} != set(range(expected)):
        return f"variables/ has {len(shards)} of {expected} files variables.data-*"
    return None
