"""The paths at which Kubeflow's launcher puts the files of an object store.

Before a node starts, the launcher downloads `minio://bucket/key` to `/minio/bucket/key`, and so
on; afterwards it uploads what is at an output's path. The node itself gets only the URIs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Scheme → the launcher's folder for it.
_FOLDERS: Final = {"minio://": "minio", "gs://": "gcs", "s3://": "s3"}
# Where another launcher stages below another folder than `/`.
ROOT_VARIABLE: Final = "TALLYGRAPH_STAGING_ROOT"


@dataclass(frozen=True)
class Staging:
    """The launcher's mapping, below a root folder."""

    root: str = "/"

    @classmethod
    def of_environment(cls) -> Staging:
        """Return the mapping below `TALLYGRAPH_STAGING_ROOT`, or below `/` if it is not set."""
        return cls(os.environ.get(ROOT_VARIABLE) or "/")

    def local_path(self, uri: str) -> str:
        """Return the path of an object store's URI; any other URI is returned unchanged."""
        for scheme, folder in _FOLDERS.items():
            if uri.startswith(scheme):
                return str(Path(self.root) / folder / uri.removeprefix(scheme))
        return uri
