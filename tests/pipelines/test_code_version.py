"""A code version changes with the sources it names, and with no others."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pipelines.code_version import code_version

_numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A name of its own for every test: Python remembers packages it has once imported.
    root = tmp_path / f"shop_{next(_numbers)}"
    (root / "till").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "till" / "__init__.py").write_text("PRICE = 1\n")
    (root / "door.py").write_text("OPEN = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_an_edit_below_a_package_changes_its_version_only(package: Path) -> None:
    till, door = (code_version([f"{package.name}.{name}"]) for name in ("till", "door"))

    (package / "till" / "__init__.py").write_text("PRICE = 2\n")

    assert code_version([f"{package.name}.till"]) != till
    assert code_version([f"{package.name}.door"]) == door


def test_order_and_repetition_of_names_do_not_matter(package: Path) -> None:
    till, door = f"{package.name}.till", f"{package.name}.door"
    assert code_version([till, door, till]) == code_version([door, till])
    assert len(code_version([till])) == 16


def test_a_moved_file_is_a_change(package: Path) -> None:
    before = code_version([package.name])
    (package / "door.py").rename(package / "gate.py")
    assert code_version([package.name]) != before


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="shop_that_is_not_there"):
        code_version(["shop_that_is_not_there"])
