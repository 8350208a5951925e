"""Both exports of a `benchmarks.decode` shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.decode.cases import SHAPES
from benchmarks.decode.engine_tallygraph import export
from benchmarks.gpu.child import Report


def measure(report: Report, directory: str, shape: str, variant: str) -> dict[str, Any]:
    """Write one; see `benchmarks.decode.engine_tallygraph`."""
    del report
    export(SHAPES[shape], Path(directory), variant)
    return {}
