"""Which Python a set-up takes, and what it says of those that it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.checkout import (
    BROKEN,
    PYTHON,
    Checkout,
    give_python,
    python_of_version,
    write_command,
)

FIND = ("scripts/setup.sh", "--find-python")


def lines(said: str) -> list[str]:
    return [line.removeprefix("[setup] ").strip() for line in said.splitlines()]


def starts(said: str, *expected: str) -> bool:
    """Whether the lines begin so, in this order and with none between."""
    got = lines(said)
    return len(got) >= len(expected) and all(
        line.startswith(start) for line, start in zip(got, expected, strict=False)
    )


def test_the_first_on_path_that_suits_is_taken(checkout: Checkout, commands: Path) -> None:
    write_command(commands / "python3", python_of_version("3.13"))
    write_command(commands / "python3.12", BROKEN)
    give_python(commands, "python3.11")
    code, said = checkout.set_up(*FIND, path=str(commands))
    assert code == 0, said
    assert starts(
        said,
        "looking for Python 3.11 or 3.12",
        f"python3: {PYTHON.parent}",
        f"python3.12: {commands}/python3.12 does not run",
        "python3.11: ",
    ), said
    assert "is Python 3.13, not 3.11 or 3.12" in lines(said)[1]
    assert len(lines(said)) == 4


def test_one_behind_another_of_the_same_name_is_found_by_uv(
    checkout: Checkout, commands: Path, tmp_path: Path
) -> None:
    write_command(commands / "python3", python_of_version("3.13"))
    (tmp_path / "behind").mkdir()
    give_python(tmp_path / "behind", "python3")
    code, said = checkout.set_up(*FIND, path=f"{commands}:{tmp_path / 'behind'}")
    assert code == 0, said
    assert lines(said)[-1].startswith("uv python find: "), said
    assert lines(said)[-1].endswith(("Python 3.11", "Python 3.12"))


def test_where_there_is_none_all_ways_are_tried_and_said(
    checkout: Checkout, commands: Path
) -> None:
    write_command(commands / "python3", BROKEN)
    code, said = checkout.set_up(*FIND, path=str(commands))
    assert code == 1
    assert starts(
        said,
        "looking for Python",
        f"python3: {commands}/python3 does not run",
        "python3.12: not found",
        "python3.11: not found",
        "uv python find: none",
        "uv python install 3.11: could not be fetched (",
        "Debian 12's python3.11: not tried, for this is no Debian",
        "ERROR: no Python 3.11 or 3.12 was found, and none could be fetched",
        "Install one",
    ), said
    assert "make setup PYTHON=/path/to/python3.11" in said


def test_a_relative_of_debian_without_a_debian_mirror_is_told_so(
    checkout: Checkout, commands: Path
) -> None:
    write_command(commands / "apt-get", "echo http://archive.example/ubuntu/")
    write_command(commands / "dpkg", "exit 1")
    code, said = checkout.set_up(*FIND, path=str(commands))
    assert code == 1
    assert "Debian 12's python3.11: apt names no Debian mirror" in said


def test_the_one_that_was_fetched_before_is_taken(checkout: Checkout, commands: Path) -> None:
    fetched = checkout.toolchain / "python-debian" / "usr" / "bin" / "python3.11"
    fetched.parent.mkdir(parents=True)
    give_python(fetched.parent, fetched.name)
    code, said = checkout.set_up(*FIND, path=str(commands))
    assert code == 0, said
    assert lines(said)[-1].startswith("in .toolchain: "), said


def test_of_an_environment_it_is_the_one_that_it_was_made_from(
    checkout: Checkout, commands: Path
) -> None:
    assert checkout.set_up()[0] == 0
    of_environment = checkout.folder / ".venv" / "bin"
    code, said = checkout.set_up(*FIND, path=f"{commands}", PYTHON=f"{of_environment}/python")
    assert code == 0, said
    assert ".venv" not in lines(said)[1].partition("): ")[2]
    # Nor is it found on PATH, where the caller has activated it.
    give_python(commands, "python3.11")
    code, said = checkout.set_up(*FIND, path=f"{of_environment}:{commands}")
    assert code == 0, said
    assert lines(said)[1] == "python3: not found"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (python_of_version("3.13"), "is Python 3.13, not 3.11 or 3.12"),
        (python_of_version("3.10"), "is Python 3.10, not 3.11 or 3.12"),
        (python_of_version("2.7"), "is Python 2.7, not 3.11 or 3.12"),
        (BROKEN, "does not run"),
        (None, "not found"),
    ],
    ids=["too-new", "too-old", "ancient", "broken", "not-there"],
)
def test_a_python_that_is_named_is_the_one_or_an_error(
    script: str | None, why: str, checkout: Checkout, tmp_path: Path
) -> None:
    named = tmp_path / "python"
    if script:
        write_command(named, script)
    code, said = checkout.set_up(PYTHON=str(named))
    assert code == 1
    assert f"[setup] ERROR: $PYTHON names '{named}': " in said
    assert why in said
    assert "Expected: CPython 3.11 or 3.12" in said
    assert not (checkout.folder / ".venv").exists()


def test_the_makefile_names_none(checkout: Checkout, commands: Path) -> None:
    """Else the one of the Makefile would be taken for the caller's."""
    makefile = Path(__file__).parents[2] / "Makefile"
    (checkout.folder / "Makefile").write_text(makefile.read_text(encoding="utf-8"))
    write_command(commands / "python3", BROKEN)
    give_python(commands, "python3.11")
    code, said = checkout.set_up("make", "setup", path=str(commands))
    assert code == 0, said
    assert "python3.11: " in said
    code, said = checkout.set_up("make", "setup", "PYTHON=/nowhere", path=str(commands))
    assert code == 2
    assert "$PYTHON names '/nowhere'" in said
