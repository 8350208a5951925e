"""The command line: `tallygraph`.

Commands import what they need when they run: `tallygraph --help`, `config`, `summarize` and
`count` answer without loading TensorFlow or TFX.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from pipelines.cli import (
    ask,
    bill,
    configuration,
    corpus,
    demo_gateway,
    gateway,
    kfp,
    ledger,
    registry,
    run,
    schedule,
    serve,
    tenants,
    versions,
)

app = typer.Typer(
    name="tallygraph",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tallygraph {version('tallygraph')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Say which one it is."
        ),
    ] = False,
) -> None:
    """Train, meter, validate, push and serve a summariser that counts its own tokens."""


app.command("run")(run.run)
app.command("serve")(serve.serve)
app.command("summarize")(ask.summarize)
app.command("count")(ask.count)
app.command("config")(configuration.config)
app.command("gateway")(gateway.gateway)
app.command("demo-gateway")(demo_gateway.demo_gateway)
app.add_typer(corpus.app, name="corpus")
app.add_typer(bill.app, name="bill")
app.add_typer(ledger.app, name="ledger")
app.add_typer(tenants.app, name="tenants")
app.add_typer(versions.app, name="versions")
app.add_typer(kfp.app, name="kfp")
app.add_typer(registry.app, name="registry")
app.add_typer(schedule.app, name="schedule")


def main() -> None:
    """Entry point of the `tallygraph` script."""
    app()


__all__ = ["app", "main"]
