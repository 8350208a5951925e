"""The identity of a model: a hash of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_of(directory: Path) -> str:
    """Return the SHA-256 over the names and bytes of all files below a folder.

    Raises:
      OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        digest.update(hashlib.sha256(str(path.relative_to(directory)).encode()).digest())
        digest.update(content)
    return digest.hexdigest()
