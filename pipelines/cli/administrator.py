"""Who makes a change by a command, for the audit log."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail
from pipelines.cli.database import opened
from pipelines.cli.prices import plans_of

if TYPE_CHECKING:
    from serving.gateway.administration import Administrator

By = Annotated[
    str,
    typer.Option(
        help="Who makes the change, recorded in the audit log; empty: this system's user."
    ),
]


@contextlib.contextmanager
def administering(
    database: str,
    by: str,
    *,
    create: bool = False,
    tenant: str = "",
    prices: Path | None = None,
    plan: str | None = None,
) -> Iterator[Administrator]:
    """The administrator of a ledger. What is refused ends the command.

    Args:
      database: URL of the ledger's.
      by: empty: the system's user.
      create, tenant: see `pipelines.cli.database.opened`.
      prices: the price book that plans are checked with; None: they are not.
      plan: checked before a ledger is opened or made; None for none.
    """
    from serving.gateway.administration import Administrator, check_plan
    from serving.gateway.tenants import TenantError
    from serving.ledger import LedgerError

    name = by or system_user()
    if len(name) > 255 or not name.isprintable():
        fail(
            "The name of who makes a change must be at most 255 characters that can be "
            f"printed. Received: {name[:100]!r}",
            EXIT_BAD_INPUT,
        )
    plans = plans_of(prices)
    try:
        if plan is not None and plans is not None:
            check_plan(plan, plans)
        with opened(database, create=create, tenant=tenant) as engine:
            yield Administrator(engine, name, plans=None if plans is None else lambda: plans)
    except (TenantError, LedgerError) as error:
        fail(str(error), EXIT_BAD_INPUT)


def system_user() -> str:
    """The system's user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
