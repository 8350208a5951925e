"""Runs the notebooks of ``docs/notebooks`` and keeps what they print in them.

::

    .venv/bin/python -m scripts.documents.notebooks

Needs the development group (nbclient and a kernel); pages are made of notebooks without either,
see `scripts.documents.notebook_pages`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs/notebooks"
_CELL_TIMEOUT_S: Final = 1500


def executed(notebook: Path, folder: Path) -> Any:
    """Run every cell of a notebook, in order, in a kernel of its own.

    Args:
      folder: where the kernel works, and where it makes its temporary files.

    Returns:
      The notebook with its outputs; the file is not changed.

    Raises:
      CellExecutionError: a cell raised an error.
    """
    cells = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        cells, timeout=_CELL_TIMEOUT_S, resources={"metadata": {"path": str(folder)}}
    )
    manager = client.create_kernel_manager()
    # Sockets in a folder of short name, as systems want it: no port that others might reach.
    with tempfile.TemporaryDirectory() as sockets:
        manager.transport, manager.ip = "ipc", f"{sockets}/kernel"
        client.execute(env={**os.environ, "TMPDIR": str(folder)})
    return cells


def printed(cell: Any) -> str:
    """What a code cell wrote to standard output, and what its last line gave.

    Notes that libraries write to standard error are no part of a notebook.
    """
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type == "execute_result":
            parts.append(output.data.get("text/plain", "") + "\n")
    return "".join(parts)


def keep_printed(cells: Any) -> None:
    """Make what was printed all that a notebook keeps of its run, as one output a cell."""
    for cell in cells.cells:
        if cell.cell_type != "code":
            continue
        text = printed(cell)
        stream = nbformat.v4.new_output("stream", name="stdout", text=text)
        cell.outputs = [stream] if text else []
        cell.execution_count = None
        cell.metadata.pop("execution", None)


def main() -> None:
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            cells = executed(notebook, Path(folder))
        keep_printed(cells)
        nbformat.write(cells, notebook)
        print(f"run: {notebook}")


if __name__ == "__main__":
    main()
