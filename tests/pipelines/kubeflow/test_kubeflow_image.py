"""What can be said of the image's recipe without an engine that builds it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Recipe → the extra that it installs.
RECIPES = {"Dockerfile": "pipeline", "gateway.Dockerfile": "gateway"}


@pytest.fixture(params=RECIPES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recipe(name: str) -> str:
    return (ROOT / "kfp" / name).read_text(encoding="utf-8")


def copied(recipe: str) -> set[str]:
    """What is copied out of the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", recipe, re.MULTILINE)
    return {name for line in lines for name in line.split()[:-1]}


def test_all_packages_and_what_builds_them_are_copied(name: str, recipe: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    wanted = packages | {"pyproject.toml", "uv.lock", project["project"]["readme"], "LICENSE"}
    assert copied(recipe) == wanted
    ignore = (ROOT / "kfp" / f"{name}.dockerignore").read_text(encoding="utf-8")
    let_through = set(re.findall(r"^!(.+)$", ignore, re.MULTILINE))
    assert let_through == wanted
    assert all((ROOT / name).exists() for name in wanted)


def test_the_image_installs_what_is_locked_with_the_tools_of_the_setup(
    name: str, recipe: str
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert RECIPES[name] in project["project"]["optional-dependencies"]
    setup = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    (version,) = re.findall(r"^UV_VERSION=(.+)$", setup, re.MULTILINE)
    assert f"uv=={version}" in recipe
    syncs = re.findall(r"uv sync .*", recipe)
    assert len(syncs) == 2
    wanted = f"--frozen --no-default-groups --extra {RECIPES[name]} "
    assert all(wanted in sync for sync in syncs)


def test_the_image_runs_as_a_numbered_user_that_is_not_root(recipe: str) -> None:
    last_stage = recipe.rsplit("\nFROM ", 1)[1]
    users = re.findall(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE)
    assert users and all(int(user) > 0 and int(group) > 0 for user, group in users)


def test_no_host_is_named_but_that_of_the_images(recipe: str) -> None:
    assert "://" not in recipe
    assert "index-url" not in recipe
