"""`tallygraph ledger reverse`, `refund` and `top-up`: what people add to a chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.administrator import system_user
from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.cli.database import DATABASE, Database, opened

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from serving.ledger import Ledger
    from serving.ledger.parts import Meter

KeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TALLYGRAPH_LEDGER_KEY_FILE",
        help="File of the key with which entries and anchors are authenticated: at least 32 "
        "bytes, as of `openssl rand -hex 32`.",
    ),
]
_By = Annotated[
    str,
    typer.Option(help="Who does it, recorded in the ledger; empty: this system's user."),
]


def reverse(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    number: Annotated[int, typer.Argument(help="Number of the charge to reverse.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the ledger.")],
    by: _By = "",
    key_file: KeyFile = None,
    database: Database = DATABASE,
) -> None:
    """Reverse a charge: add an entry that takes it back, and says why and by whom."""
    with opened(database, tenant=tenant) as engine, _correcting(engine, key_file) as ledger:
        entry = ledger.reverse(tenant, number, reason, by or system_user())
    out.print(f"entry {entry.number}: {entry.amount_micro} millionths {entry.currency}")


def refund(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    number: Annotated[int, typer.Argument(help="Number of the charge to refund a part of.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the ledger.")],
    amount_micro: Annotated[
        int | None,
        typer.Option(help="Amount, in millionths of the currency's unit; no tokens with it."),
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(
            help="Tokens of a kind, such as output=20: input (computed), cached or output; may "
            "be repeated. They are refunded for what they cost."
        ),
    ] = None,
    rest: Annotated[
        bool, typer.Option("--rest", help="All that is left of the charge.")
    ] = False,
    by: _By = "",
    key_file: KeyFile = None,
    database: Database = DATABASE,
) -> None:
    """Refund a part of a charge: an amount, or tokens, never more than is left of it."""
    if (amount_micro is not None) + bool(tokens) + rest != 1:
        fail("Give one of --amount-micro, --tokens and --rest.", EXIT_BAD_INPUT)
    counts = dict(map(_tokens, tokens)) if tokens else None
    with opened(database, tenant=tenant) as engine, _correcting(engine, key_file) as ledger:
        entry = ledger.refund(
            tenant,
            number,
            reason,
            by or system_user(),
            amount_micro=amount_micro,
            tokens=counts,
        )
    out.print(f"entry {entry.number}: {entry.amount_micro} millionths {entry.currency}")


def top_up(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    amount_micro: Annotated[
        int,
        typer.Argument(
            help="Amount, in millionths of the currency's unit; 0 to begin without credit; "
            "negative, after --, to pay back what is left."
        ),
    ],
    currency: Annotated[str, typer.Option(help="Currency of the prices, such as EUR.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the ledger.")],
    by: _By = "",
    request_id: Annotated[
        str,
        typer.Option(
            help="Name of the payment: with the same one it is added once. Empty: a new one."
        ),
    ] = "",
    key_file: KeyFile = None,
    database: Database = DATABASE,
) -> None:
    """Add to a tenant's prepaid credit. From its first top-up on, a tenant is refused when its
    credit is used up."""
    from serving.billing.currencies import CurrencyError, decimals_of

    try:
        decimals_of(currency)
    except CurrencyError as error:
        fail(str(error), EXIT_BAD_INPUT)
    with opened(database, tenant=tenant) as engine, _correcting(engine, key_file) as ledger:
        entry = ledger.top_up(
            tenant, amount_micro, currency, reason, by or system_user(), request_id or None
        )
    out.print(f"entry {entry.number}: {entry.amount_micro} millionths {entry.currency}")


@contextmanager
def _correcting(engine: Engine, key_file: Path | None) -> Iterator[Ledger]:
    """A ledger to correct; what it refuses is told."""
    from serving.ledger import Ledger, LedgerError
    from serving.ledger.authentication import LedgerKey

    try:
        key = LedgerKey.load(key_file) if key_file else None
        yield Ledger(engine, "tallygraph-ledger", key=key)
    except LedgerError as error:
        fail(str(error), EXIT_BAD_INPUT)


def _tokens(text: str) -> tuple[Meter, int]:
    from serving.ledger.parts import METERS

    name, _, count = text.partition("=")
    meter = next((each for each in METERS if each == name), None)
    if meter is None or not count.isascii() or not count.isdecimal():
        fail(
            f"--tokens expects one of {', '.join(METERS)} and a number, such as output=20. "
            f"Received: {text!r}",
            EXIT_BAD_INPUT,
        )
    return meter, int(count)
