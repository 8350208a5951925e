"""Notebooks as pages: text as it stands, code and what it printed as blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def as_markdown(notebook: Path) -> str:
    """A notebook as Markdown. What it printed is what was kept in it; nothing is run."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(block for cell in cells for block in _blocks(cell)) + "\n"


def _blocks(cell: Mapping[str, Any]) -> Iterator[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield text
        return
    yield _fenced("python", text)
    for output in cell["outputs"]:
        yield _fenced("text", "".join(output["text"]))


def _fenced(language: str, text: str) -> str:
    return f"``````{language}\n{text.rstrip()}\n``````"
