"""Brings a database's tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading, writing
from serving.ledger.errors import LedgerError

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_VERSION: Final = sa.table("alembic_version", sa.column("version_num"))
_LOCK: Final = 0x7A11_7961_6C65_6467  # any number that is this ledger's


class NewerLedgerError(LedgerError):
    """The tables were made by a later version, whose rules this one does not know."""


def upgrade(engine: sa.Engine) -> None:
    """Apply what is missing, in one transaction; nothing where all is there.

    Several processes may do so at once: one does it, the others wait.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
      NewerLedgerError: it was made by a later version.
    """
    if _revision(engine) == newest_revision():
        return
    # Takes a tenth of a second to import, which a gateway that starts after a crash has not.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    # The parser of settings files, which this is, takes % for a place to fill in.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK % 2**63)))
        config.attributes["connection"] = connection
        config.attributes["metadata"] = schema.metadata
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise NewerLedgerError(
                "The ledger's tables were created by a later version. Expected: at most "
                f"revision {newest_revision()}. Found: {_revision(engine)}. Use the version "
                "that created them, or a later one; nothing was changed."
            ) from None


def newest_revision() -> str:
    """That of the tables as they are in `serving.ledger.schema`: the file's that is last."""
    return max(file.name for file in (_MIGRATIONS / "versions").glob("*_*.py")).partition("_")[
        0
    ]


def _revision(engine: sa.Engine) -> str | None:
    """None: there are no tables yet."""
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table(_VERSION.name):
            return None
        return connection.scalar(sa.select(_VERSION.c.version_num))
