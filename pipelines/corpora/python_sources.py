"""Lists the Python files of the environment from which a docstring corpus is mined.

These are the standard library and the packages that the project's own requirements name (except
some tools), followed transitively: so a lock file determines the corpus, and a stray package in
the environment does not change it. Nothing is imported; only files are listed.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT_REQUIREMENT: Final = "tallygraph[pipeline]"

# Required directly, and not mined with what they alone require: tools around the training,
# mostly clients of services, which came after the figures that are kept of this corpus.
_NOT_MINED: Final = frozenset(
    {"alembic", "kfp", "mlflow-skinny", "pyyaml", "sqlalchemy", "tenacity"}
)

# Folders of tests, of copies of other packages, and of generated aliases of modules.
_SKIPPED_FOLDERS: Final = frozenset(
    {
        *("test", "tests", "testing", "_testing", "testdata", "test_data", "unittests"),
        *("conformance", "benchmarks", "idlelib", "lib2to3", "turtledemo"),
        *("_vendor", "_vendored", "vendor", "vendored", "third_party", "extern", "_extern"),
        *("externals", "site-packages", "__pycache__", "node_modules", "_api", "_tf_keras"),
    }
)
_SKIPPED_FILES: Final = re.compile(r"(?:^test_.*|.*_tests?|conftest|.*_pb2(?:_grpc)?)\.py$")
_GENERATED_MARKER_FILE: Final = "gapic_version.py"  # a client library written by a generator


class CorpusError(ValueError):
    """A corpus cannot be built from the given sources. Never worth a retry."""


@dataclass(frozen=True, slots=True, order=True)
class PythonFile:
    """One source file: ``relative`` is its path below ``root``, with forward slashes."""

    relative: str
    root: str
    size_bytes: int

    @property
    def path(self) -> Path:
        return Path(self.root) / self.relative

    @property
    def source(self) -> str:
        """Name of the top-level package."""
        return PurePosixPath(self.relative).parts[0].removesuffix(".py")

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        parts = list(PurePosixPath(self.relative).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        return ".".join(parts)


@dataclass(frozen=True, slots=True)
class PythonSources:
    """Files to mine, and the versions of what they belong to.

    ``versions`` maps a distribution's name to its version. ``files`` are sorted by
    relative path, each path once.
    """

    files: tuple[PythonFile, ...]
    versions: dict[str, str]

    def fingerprint(self) -> str:
        """SHA-256 of names, sizes and versions: the same environment, the same value."""
        digest = hashlib.sha256()
        for name, version in sorted(self.versions.items()):
            digest.update(f"{name}=={version}\n".encode())
        for file in self.files:
            digest.update(f"{file.relative} {file.size_bytes}\n".encode("utf-8", "replace"))
        return digest.hexdigest()


def installed_sources(requirement: str = ROOT_REQUIREMENT) -> PythonSources:
    """List the standard library and every installed package that ``requirement`` needs,
    transitively.

    Raises:
      CorpusError: a distribution that ``requirement`` names is not installed.
    """
    versions: dict[str, str] = {}
    files: dict[str, PythonFile] = {}
    own = canonicalize_name(Requirement(requirement).name)
    for distribution in _closure(requirement):
        name = canonicalize_name(distribution.metadata["Name"])
        if name == own:  # our own docstrings change with every edit
            continue
        versions[name] = distribution.version
        root = str(distribution.locate_file(""))
        _add_files(files, root, _recorded_files(distribution))
    stdlib = sysconfig.get_paths()["stdlib"]
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    _add_files(files, stdlib, _walk(Path(stdlib)))
    return PythonSources(tuple(sorted(files.values())), versions)


def tree_sources(root: str | Path, versions: dict[str, str] | None = None) -> PythonSources:
    """List every Python file below a folder whose children are top-level packages.

    Raises:
      CorpusError: the folder does not exist.
    """
    root = Path(root)
    if not root.is_dir():
        raise CorpusError(
            f"{root} is not a folder. Expected: a folder whose children are Python packages."
        )
    files: dict[str, PythonFile] = {}
    _add_files(files, str(root), _walk(root))
    return PythonSources(tuple(sorted(files.values())), versions or {})


def _closure(requirement: str) -> list[metadata.Distribution]:
    """Installed distributions that a requirement leads to, sorted by name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    root = Requirement(requirement)
    waiting = [root]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        key = (name, frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        if name not in found:
            try:
                found[name] = metadata.distribution(wanted.name)
            except metadata.PackageNotFoundError:
                raise CorpusError(
                    f"the package {wanted.name} is not installed. Expected: everything that "
                    f"{requirement} requires. Set the environment up again (make setup)."
                ) from None
        extras = wanted.extras or {""}
        for text in found[name].requires or []:
            needed = Requirement(text)
            if wanted.name == root.name and canonicalize_name(needed.name) in _NOT_MINED:
                continue
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                waiting.append(needed)
    return [found[name] for name in sorted(found)]


def _recorded_files(distribution: metadata.Distribution) -> Iterable[str]:
    # Read here, not through Distribution.files, which makes an object for each of the
    # tens of thousands of headers and data files.
    record = distribution.read_text("RECORD") or ""
    rows = csv.reader(record.splitlines())
    return [row[0] for row in rows if row and row[0].endswith(".py") and ".." not in row[0]]


def _walk(root: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(".py"):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _add_files(files: dict[str, PythonFile], root: str, relatives: Iterable[str]) -> None:
    relatives = list(relatives)
    generated = {
        relative.rpartition("/")[0] + "/"
        for relative in relatives
        if relative.rpartition("/")[2] == _GENERATED_MARKER_FILE
    }
    for relative in relatives:
        if relative in files or _skipped(relative.split("/"), generated):
            continue
        try:
            size = (Path(root) / relative).stat().st_size
        except OSError:  # recorded but removed, by a slimming image build for one
            continue
        files[relative] = PythonFile(relative, root, size)


def _skipped(parts: Sequence[str], generated: set[str]) -> bool:
    if not _SKIPPED_FOLDERS.isdisjoint(parts[:-1]) or _SKIPPED_FILES.match(parts[-1]):
        return True
    prefix = ""
    for part in parts[:-1]:
        prefix += part + "/"
        if prefix in generated:
            return True
    return False
