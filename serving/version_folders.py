"""The folders of a served model's versions: which names are versions, and which folder is one.

TensorFlow Serving takes every folder below a model's base path whose name is a positive int64,
with leading zeros or without. So a version is a folder, and never ``str(number)``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

SAVED_MODEL: Final = "saved_model.pb"
MOST: Final = 2**63 - 1

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
