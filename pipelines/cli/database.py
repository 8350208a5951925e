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
def opened(url: str) -> Iterator[sa.Engine]:
    """The ledger's database, with its tables migrated to this version."""
    import sqlalchemy as sa

    from serving.ledger.database import open_database
    from serving.ledger.upgrade import NewerLedgerError, upgrade

    shown = without_password(url)
    make_folder(url)
    try:
        engine = open_database(url)
        upgrade(engine)
    except sa.exc.SQLAlchemyError as error:
        fail(f"Cannot open the ledger {shown}: {error}")
    except NewerLedgerError as error:
        fail(str(error), EXIT_BAD_INPUT)
    try:
        yield engine
    finally:
        engine.dispose()


def make_folder(url: str) -> None:
    """Create the folder of a database that is a file."""
    parts = _parsed(url)
    if parts.get_backend_name() == "sqlite" and parts.database:
        Path(parts.database).parent.mkdir(parents=True, exist_ok=True)


def without_password(url: str) -> str:
    """A database's URL without its password, to be printed."""
    return _parsed(url).render_as_string(hide_password=True)


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
