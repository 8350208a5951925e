"""The ledger's database as a command-line option."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipelines.cli.console import EXIT_BAD_INPUT, fail

if TYPE_CHECKING:
    import sqlalchemy as sa

Database = Annotated[
    str,
    typer.Option(
        envvar="TALLYGRAPH_DATABASE",
        help="The ledger's database: sqlite:///file or postgresql+psycopg://user@host/name.",
    ),
]
DATABASE: Final = "sqlite:///build/ledger.sqlite"


@contextlib.contextmanager
def opened(url: str, *, create: bool = False, tenant: str = "") -> Iterator[sa.Engine]:
    """The ledger's database, with its tables migrated to this version.

    A ledger or a tenant that is not there ends the command.

    Args:
      create: make the ledger where there is none.
      tenant: whom the command is about; empty: all of them, or nobody.
    """
    import sqlalchemy as sa

    from serving.ledger import LedgerError, UnknownTenantError
    from serving.ledger.entries import require_tenant
    from serving.ledger.opening import open_ledger

    shown = without_password(url)
    if create:
        make_folder(url)
    try:
        engine = open_ledger(url, create=create)
    except sa.exc.SQLAlchemyError as error:
        fail(f"Cannot open the ledger {shown}: {error}")
    except LedgerError as error:
        fail(str(error), EXIT_BAD_INPUT)
    try:
        if tenant:
            require_tenant(engine, tenant)
        yield engine
    except UnknownTenantError as error:
        fail(str(error), EXIT_BAD_INPUT)
    finally:
        engine.dispose()


def checked_month(month: str) -> str:
    """A month such as 2026-11, or an empty text; anything else ends the command."""
    from serving.ledger.months import month_bounds

    if month:
        try:
            month_bounds(month)
        except ValueError as error:
            fail(str(error), EXIT_BAD_INPUT)
    return month


def make_folder(url: str) -> None:
    """Create the folder of a database that is a file."""
    parts = _parsed(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        Path(parts.database).parent.mkdir(parents=True, exist_ok=True)


def without_password(url: str) -> str:
    """A database's URL without its password, to be printed."""
    from serving.ledger.opening import without_password as shown

    return shown(_parsed(url))


def _parsed(url: str) -> sa.URL:
    import sqlalchemy as sa

    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        fail(
            "The database's URL is not valid. Expected: sqlite:///file or "
            "postgresql+psycopg://user@host/name.",
            EXIT_BAD_INPUT,
        )
