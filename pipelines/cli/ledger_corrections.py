"""`tallygraph ledger reverse`, `refund` and `top-up`: what people add to a chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.administrator import administering
from pipelines.cli.console import EXIT_BAD_INPUT, fail, out
from pipelines.cli.database import DATABASE, Database

if TYPE_CHECKING:
    from serving.ledger import Entry
    from serving.ledger.authentication import LedgerKey
    from serving.ledger.parts import Meter

KeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TALLYGRAPH_LEDGER_KEY_FILE",
        help="File of the key with which entries and anchors are authenticated: at least 32 "
        "bytes, as of `openssl rand -hex 32`.",
    ),
]
_Archives = Annotated[
    Path | None,
    typer.Option(
        help="Folder of `ledger archive`, for a charge that is archived: its entry, and those "
        "of what was given back of it, are read there."
    ),
]
_By = Annotated[
    str,
    typer.Option(
        help="Who does it, recorded in the ledger and its audit log; empty: this system's user."
    ),
]


def reverse(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    number: Annotated[int, typer.Argument(help="Number of the charge to reverse.")],
    reason: Annotated[str, typer.Option(help="Reason, recorded in the ledger.")],
    by: _By = "",
    key_file: KeyFile = None,
    archives: _Archives = None,
    database: Database = DATABASE,
) -> None:
    """Reverse a charge: add an entry that takes it back, and says why and by whom."""
    from serving.gateway.administration import reverse_charge

    with administering(database, by, tenant=tenant) as administrator:
        entry = reverse_charge(administrator, tenant, number, reason, _key(key_file), archives)
    _print(entry)


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
    archives: _Archives = None,
    database: Database = DATABASE,
) -> None:
    """Refund a part of a charge: an amount, or tokens, never more than is left of it."""
    from serving.gateway.administration import refund_charge

    if (amount_micro is not None) + bool(tokens) + rest != 1:
        fail("Give one of --amount-micro, --tokens and --rest.", EXIT_BAD_INPUT)
    counts = dict(map(_tokens, tokens)) if tokens else None
    with administering(database, by, tenant=tenant) as administrator:
        entry = refund_charge(
            administrator,
            tenant,
            number,
            reason,
            _key(key_file),
            amount_micro=amount_micro,
            tokens=counts,
            archives=archives,
        )
    _print(entry)


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
    from serving.gateway.administration import top_up_credit

    with administering(database, by, tenant=tenant) as administrator:
        entry = top_up_credit(
            administrator,
            tenant,
            amount_micro,
            currency,
            reason,
            request_id or None,
            _key(key_file),
        )
    _print(entry)


def _key(path: Path | None) -> LedgerKey | None:
    from serving.ledger.authentication import LedgerKey

    return LedgerKey.load(path) if path else None


def _print(entry: Entry) -> None:
    out.print(f"entry {entry.number}: {entry.amount_micro} millionths {entry.currency}")


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
