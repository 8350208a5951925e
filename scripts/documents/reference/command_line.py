"""Every command, as its own `--help` says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperArgument, TyperOption

from benchmarks.markdown import table
from pipelines.cli import app
from scripts.documents.reference.text import cell, code, prose

_HEAD = """\
# Command line

`.venv/bin/tallygraph COMMAND --help` prints the same. For the exit codes of commands, see [exit
codes](exit-codes.md).
"""


def command_line() -> str:
    """The page."""
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="tallygraph")
    return _HEAD + "".join(_command(command, context) for command, context in _all(context))


def _all(context: typer.Context) -> Iterator[tuple[Any, typer.Context]]:
    """Each command that does something, with how it is called."""
    group: Any = context.command
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from _all(inner)
        else:
            yield command, inner


def _command(command: Any, context: typer.Context) -> str:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    options = [each for each in command.params if isinstance(each, TyperOption)]
    page = f"\n## {context.command_path}\n\n{prose(command.help)}\n\n"
    words = [
        context.command_path,
        "[OPTIONS]" if options else "",
        *map(_placeholder, arguments),
    ]
    page += f"```\n{' '.join(filter(None, words))}\n```\n\n"
    if arguments:
        rows = [(code(_placeholder(each)), cell(each.help or "")) for each in arguments]
        page += table(("argument", "meaning"), rows) + "\n"
    if options:
        page += table(("option", "default", "meaning"), map(_option, options)) + "\n"
    return page


def _placeholder(argument: TyperArgument) -> str:
    name = (argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _option(option: TyperOption) -> tuple[str, str, str]:
    names = ", ".join(code(name) for name in option.opts)
    meaning = cell(option.help or "")
    if option.envvar:
        meaning += f" Environment: {code(option.envvar)}."
    required = "required" if option.required else code(_default(option))
    return names, required, meaning


def _default(option: TyperOption) -> str:
    if option.default in (None, "", False):
        # 0 equals False, and is a value.
        return "0" if option.default == 0 and not option.is_flag else ""
    if isinstance(option.default, list | tuple):
        return " ".join(map(str, option.default))
    return str(option.default)
