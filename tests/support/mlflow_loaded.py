"""MLflow with all that it loads late: to be imported by a process that others are forked from.

It is used once, because it loads most of itself when it is used.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.empty_registry import lay_registry

with tempfile.TemporaryDirectory() as _folder:
    lay_registry(Path(_folder, "registry.sqlite"))
