"""Every file, function, target and page that the guides name is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md")
# What setting up and running make; nothing of the repository.
MADE = (".venv", ".toolchain", "build/")
MAKE = re.compile(r"(?:`|^)make ([a-z-]+)(?:`|$)", flags=re.MULTILINE)
# A path with a folder in it, or a file at the top; with ":Name" or ":Class.method" behind it.
PATH = re.compile(
    r"(?P<path>[\w.-]+(?:/[\w.-]+)*/|[\w.-]+(?:/[\w.-]+)+|\.[a-z]+|[\w-]+\.(?:md|toml|lock))"
    r"(?::(?P<name>[\w.]+))?"
)


def spans(guide: str) -> list[str]:
    """What stands between backticks, of tables and prose."""
    text = (ROOT / guide).read_text(encoding="utf-8")
    return re.findall(r"`([^`\n]+)`", text)


def named_places(guide: str) -> Iterator[tuple[str, str]]:
    """Paths that a guide names, each with a name in that file, or with none."""
    for span in spans(guide):
        found = PATH.fullmatch(span.partition(" ")[0])
        if found and not span.startswith(MADE):
            yield found["path"], found["name"] or ""


def defined(path: Path) -> set[str]:
    """Functions, classes and methods of a module."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
            names |= {
                f"{node.name}.{each.name}"
                for each in ast.iter_child_nodes(node)
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


@pytest.mark.parametrize(("guide", "fewest"), [("ARCHITECTURE.md", 60), ("CONTRIBUTING.md", 8)])
def test_files_and_functions_are_there(guide: str, fewest: int) -> None:
    places = list(named_places(guide))
    assert len(places) >= fewest
    missing = [path for path, _ in places if not (ROOT / path).exists()]
    assert not missing
    unknown = [
        f"{path}:{name}" for path, name in places if name and name not in defined(ROOT / path)
    ]
    assert not unknown


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_targets_are_there() -> None:
    texts = [(ROOT / guide).read_text(encoding="utf-8") for guide in GUIDES]
    targets = {target for text in texts for target in MAKE.findall(text)}
    assert {"setup", "test", "test-long", "lint", "bench-decode"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))


def test_a_name_that_is_gone_is_found() -> None:
    assert "SummaryService.summarize" in defined(ROOT / "serving/gateway/service.py")
    assert "SummaryService.charge" not in defined(ROOT / "serving/gateway/service.py")
