"""The options by which commands that charge nobody are given a price book, and its plans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail

if TYPE_CHECKING:
    from pipelines.price_quote import PriceQuote

Prices = Annotated[
    Path | None, typer.Option(help="Price book, a TOML file: say what summaries cost.")
]
PlanPrices = Annotated[
    Path | None,
    typer.Option(
        envvar="TALLYGRAPH_PRICES",
        help="Price book, a TOML file: a plan that it does not have is refused. Not given: the "
        "plan is not checked.",
    ),
]
Plan = Annotated[str, typer.Option(help="Plan of the price book.")]
PLAN: Final = "standard"


def quoted(prices: Path | None, model: str, plan: str) -> PriceQuote | None:
    """The model's price today; None where no book is given. A wrong one ends the command."""
    if prices is None:
        return None
    from pipelines.price_quote import PriceQuote
    from serving.billing import PriceBookError

    try:
        return PriceQuote.load(prices, model, plan)
    except PriceBookError as error:
        fail(str(error), EXIT_BAD_INPUT)


def plans_of(prices: Path | None) -> frozenset[str] | None:
    """The plans of a price book; None where none is given. A wrong one ends the command."""
    if prices is None:
        return None
    from serving.billing import PriceBook, PriceBookError

    try:
        return PriceBook.load(prices).plans
    except PriceBookError as error:
        fail(str(error), EXIT_BAD_INPUT)
