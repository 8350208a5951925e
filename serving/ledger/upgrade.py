"""Brings a database's tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from serving.ledger import schema
from serving.ledger.database import writing

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x7A11_7961_6C65_6467  # any number that is this ledger's


def upgrade(engine: sa.Engine) -> None:
    """Apply what is missing, in one transaction; nothing where all is there.

    Several processes may do so at once: one does it, the others wait.

    Raises:
      sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
      alembic.util.CommandError: it was made by a newer version.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK % 2**63)))
        config.attributes["connection"] = connection
        config.attributes["metadata"] = schema.metadata
        command.upgrade(config, "head")
