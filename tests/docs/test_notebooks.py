"""Every cell of the notebooks runs, and prints what is kept in them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from scripts.documents.notebook_pages import as_markdown
from scripts.documents.notebooks import FOLDER, executed, printed
from tests.docs.pages import missing_line

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["ledger.ipynb", "training.ipynb"]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_is_kept_in_it(notebook: Path, tmp_path: Path) -> None:
    kept = nbformat.read(notebook, as_version=4).cells
    ran = executed(notebook, tmp_path).cells
    for before, after in zip(kept, ran, strict=True):
        if before.cell_type == "code":
            line = missing_line(tuple(printed(before).splitlines()), printed(after))
            assert line is None, f"not printed: {line!r}\nby: {before.source}\n{printed(after)}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_of_a_notebook_has_its_text_code_and_what_it_printed(notebook: Path) -> None:
    page = as_markdown(notebook)
    cells = nbformat.read(notebook, as_version=4).cells
    assert page.startswith("# ")
    assert sum(bool(cell.get("outputs")) for cell in cells) >= 5
    for cell in cells:
        assert cell.source in page
        if cell.cell_type == "code":
            assert printed(cell).rstrip() in page
