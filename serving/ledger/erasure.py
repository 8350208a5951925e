"""Erases what a tenant has sent and received; what accounting needs stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

_OF_TENANT: Final = "(SELECT request_id FROM requests WHERE tenant = :tenant)"


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased.

    Attributes:
      answers: texts of answers.
      idempotency_keys: names that the tenant gave to its requests.
      api_keys: that the tenant could use.
    """

    answers: int
    idempotency_keys: int
    api_keys: int


def erase_tenant(
    engine: sa.Engine,
    tenant: str,
    then: Callable[[sa.Connection, Erased], None] = lambda connection, erased: None,
) -> Erased:
    """Remove a tenant's answers, its idempotency keys and its API keys.

    Entries, sums and the tenant's name and limits stay, and so do the hashes of its requests'
    bodies, which are in the entries' hashes. Answers of requests that are running are not
    kept. A request that is repeated with an old idempotency key is a new one, and charged.

    On SQLite the texts are overwritten in the file. PostgreSQL keeps them in its files until it
    has vacuumed the tables, and in its log until that is recycled.

    Args:
      then: what else is written in the same transaction.
    """
    of = {"tenant": tenant}
    on_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if on_sqlite:
            connection.connection.execute("PRAGMA secure_delete = ON")
        with connection.begin():
            answers = [
                connection.execute(sa.text(statement), of).rowcount
                for statement in (
                    f"DELETE FROM answers WHERE request_id IN {_OF_TENANT}",
                    "DELETE FROM undelivered WHERE tenant = :tenant",
                )
            ]
            keys = connection.execute(
                sa.text(
                    "UPDATE requests SET idempotency_key = NULL WHERE tenant = :tenant "
                    "AND idempotency_key IS NOT NULL"
                ),
                of,
            ).rowcount
            keys += connection.execute(
                sa.text("DELETE FROM archived_keys WHERE tenant = :tenant"), of
            ).rowcount
            connection.execute(
                sa.text(
                    "UPDATE requests SET route = NULL WHERE tenant = :tenant "
                    "AND state = 'reserved'"
                ),
                of,
            )
            api_keys = connection.execute(
                sa.text("DELETE FROM api_keys WHERE tenant = :tenant"), of
            ).rowcount
            erased = Erased(sum(answers), keys, api_keys)
            then(connection, erased)
        if on_sqlite:
            # What is in the log, too.
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.connection.execute("PRAGMA secure_delete = OFF")
    return erased
