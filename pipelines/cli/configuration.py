"""`tallygraph config`: check a settings file, or list all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.config import ConfigError, load_config, setting_reference


def config(
    file: Annotated[Path | None, typer.Argument(help="TOML file to check.")] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", help="Same as FILE."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override: section.key=value.")
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="List every setting with its default and meaning."),
    ] = False,
) -> None:
    """Check a settings file and print the resulting settings, or list all settings."""
    if file and config_file:
        fail("The settings file was named twice. Expected FILE or --config.", EXIT_BAD_INPUT)
    file = file or config_file
    if reference or file is None:
        _print_reference()
        return
    try:
        settings = load_config(file, set_ or [])
    except ConfigError as error:
        fail(str(error), EXIT_BAD_INPUT)
    for section, values in settings.as_dict().items():
        out.print(f"[bold]\\[{section}][/]")
        for key, value in values.items():
            out.print(f"{key} = {value!r}", markup=False)


def _print_reference() -> None:
    """Print a table on a terminal, and elsewhere lines that are not cut and can be searched."""
    if not out.is_terminal:
        for name, kind, default, meaning in setting_reference():
            print(f"{name} = {default}  ({kind})\n    {meaning}")
        return
    table = Table("setting", "type", "default", "meaning", box=None)
    for name, kind, default, meaning in setting_reference():
        table.add_row(escape(name), escape(kind), escape(default), escape(meaning))
    out.print(table)
