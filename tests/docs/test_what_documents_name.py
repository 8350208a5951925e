"""Commands, options, settings and targets that the documents name are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from pipelines.cli import app
from pipelines.config import setting_reference

ROOT = Path(__file__).parents[2]
# The changelog and the dated decisions tell of what there was.
PAGES = [
    ROOT / "README.md",
    *(
        path
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if path.parent.name != "decisions"
    ),
    *ROOT.glob("*/*/README.md"),
    *ROOT.glob("*/README.md"),
]
SETTINGS = {name for name, *_ in setting_reference()}
SECTIONS = {name.partition(".")[0] for name in SETTINGS}
FILES = (".py", ".toml", ".json", ".sqlite", ".safetensors")
COMMAND_LINE: Any = typer.main.get_command(app)


def code_of(page: Path) -> Iterator[str]:
    """Lines of blocks, as one where they are continued, and what stands between backticks."""
    text = page.read_text()
    for kind, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.M | re.S):
        if kind == "text":  # what a command prints
            continue
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(code.split())


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words after `tallygraph`, up to what ends a command of the shell."""
    for line in code_of(page):
        found = re.search(r"(?:^|[$(=/ ])tallygraph ([a-z-]+\b.*)", line)
        if not found or "tallygraph-" in found[0] or "pip install" in line:
            continue
        lexer = shlex.shlex(found[1], posix=True, punctuation_chars="|&;()")
        lexer.whitespace_split = True
        words = []
        for word in lexer:
            if set(word) <= set("|&;()"):
                break
            words.append(word)
        yield words


def problem_with(words: list[str]) -> str:
    """What is wrong with a command; empty for nothing."""
    command = COMMAND_LINE
    context = typer.Context(command, info_name="tallygraph")
    while words and hasattr(command, "get_command"):
        inner = command.get_command(context, words[0])
        if inner is None:
            return f"there is no command {words[0]}"
        context = typer.Context(inner, info_name=words[0], parent=context)
        command, words = inner, words[1:]
    known = {name for each in command.params for name in each.opts} | {"--help"}
    for word in words:
        option = word.partition("=")[0].strip("[]")
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and option not in known:
            return f"{context.command_path} has no {option}"
    return ""


def test_commands_and_their_options_are_there() -> None:
    commands = [(page, words) for page in PAGES for words in commands_of(page)]
    assert len(commands) > 60
    wrong = [
        (name(page), words, what) for page, words in commands if (what := problem_with(words))
    ]
    assert wrong == []


def test_a_wrong_command_is_found() -> None:
    assert problem_with(["registry", "list", "--output", "out"]) == ""
    assert problem_with(["registry", "lost"]) == "there is no command lost"
    assert problem_with(["registry", "list", "--outputs"]) == (
        "tallygraph registry list has no --outputs"
    )


def test_settings_are_there() -> None:
    pattern = re.compile(r"(?:--set[ =]|^)\"?([a-z]+\.[a-z_]+)(?= = |=|$)")
    named = {
        (name(page), setting)
        for page in PAGES
        for code in code_of(page)
        for setting in pattern.findall(code)
        if setting.partition(".")[0] in SECTIONS and not setting.endswith(FILES)
    }
    assert len(named) > 30
    known = {*SETTINGS, "kubeflow.defaults"}
    assert sorted(each for each in named if each[1] not in known) == []


def test_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for code in code_of(page)
        for target in re.findall(r"^make ([a-z-]+)$", code)
    }
    assert len(named) > 5
    assert named <= targets


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))
