"""The command line: `tallygraph`.

A command is imported when it is asked for, and imports what it needs when it runs: `tallygraph
--help`, `config`, `summarize` and `count` answer without loading TensorFlow or TFX, and a
gateway that is started again after a crash waits for no other command's modules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

# Commands by the module and the function that they are, in the order of the help.
_COMMANDS: Final = {
    "run": ("run", "run"),
    "serve": ("serve", "serve"),
    "summarize": ("ask", "summarize"),
    "count": ("ask", "count"),
    "samples": ("samples", "samples"),
    "config": ("configuration", "config"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "gateway": ("gateway", "gateway"),
    "demo-gateway": ("demo_gateway", "demo_gateway"),
}
# Groups of commands: the `app` of the module of that name.
_GROUPS: Final = (
    "corpus",
    "export",
    "bill",
    "ledger",
    "tenants",
    "versions",
    "kfp",
    "registry",
    "schedule",
)
_ALL: Final = (*_COMMANDS, *_GROUPS)
_OURS: Final = ("benchmarks", "components", "pipelines", "serving", "tokenizer")


def main() -> None:
    """Entry point of the `tallygraph` script."""
    asked = sys.argv[1:2]
    try:
        _app(asked if asked and asked[0] in _ALL else _ALL)()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        sys.exit(
            f"error: the library {error.name!r} is not installed. Expected: everything that "
            "uv.lock lists for this command. Run `make setup` in a clone, for example after "
            "`git pull`; elsewhere install tallygraph[pipeline]."
        )


def _app(names: Iterable[str]) -> typer.Typer:
    """The command line of some commands."""
    app = typer.Typer(
        name="tallygraph",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    app.callback()(_options)
    for name in names:
        if name in _COMMANDS:
            module, function = _COMMANDS[name]
            app.command(name)(getattr(_module(module), function))
        else:
            app.add_typer(_module(name).app, name=name)
    return app


def _module(name: str) -> Any:
    return import_module(f"pipelines.cli.{name}")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tallygraph {version('tallygraph')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Train, meter, validate, push and serve a summariser that counts its own tokens."""


def __getattr__(name: str) -> Any:
    """`app`: all commands."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _app(_ALL)


__all__ = ["app", "main"]
