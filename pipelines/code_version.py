"""A hash of the sources that a node runs, which says which code made a result.

TFX caches a node by its inputs and settings and does not notice that its code was edited. A
node's code version is part of its cache key, so an edit makes that node run again and no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


def code_version(modules: Iterable[str]) -> str:
    """Hash the Python sources of modules, and of packages with everything below them.

    Args:
      modules: dotted names, for example `components.meter`.

    Returns:
      16 hexadecimal digits. The same on every machine for the same sources.

    Raises:
      ModuleNotFoundError: a name cannot be found.
    """
    digest = hashlib.sha256()
    for name in sorted(set(modules)):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)
        root = Path(spec.origin)
        is_package = spec.submodule_search_locations is not None
        files = sorted(root.parent.rglob("*.py")) if is_package else [root]
        for file in files:
            label = file.relative_to(root.parent).as_posix()
            content = file.read_bytes()
            digest.update(f"{name}\0{label}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:16]
