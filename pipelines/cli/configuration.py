"""`tallygraph config`: check a settings file, or list all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.config import ConfigError, load_config, setting_reference


def config(
    file: Annotated[Path | None, typer.Argument(help="TOML file to check.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override: section.key=value.")
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="List every setting with its default and meaning."),
    ] = False,
) -> None:
    """Check a settings file and print the resulting settings, or list all settings."""
    if reference or file is None:
        table = Table("setting", "type", "default", "meaning", box=None)
        for name, kind, default, meaning in setting_reference():
            table.add_row(name, kind, default, meaning)
        out.print(table)
        return
    try:
        settings = load_config(file, set_ or [])
    except ConfigError as error:
        fail(str(error), EXIT_BAD_INPUT)
    for section, values in settings.as_dict().items():
        out.print(f"[bold]\\[{section}][/]")
        for key, value in values.items():
            out.print(f"{key} = {value!r}", markup=False)
