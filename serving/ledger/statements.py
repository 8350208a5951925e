"""The statements of a request's life: each is for as many requests as there are in a group.

Parameters that are not columns to insert have names that no column has; lists are one
parameter, so that a statement is the same however many there are.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serving.ledger.prepared import Prepared
from serving.ledger.records import ENTRY_FIELDS
from serving.ledger.schema import (
    RELEASED,
    RESERVED,
    SETTLED,
    accounts,
    answers,
    chains,
    entries,
    month_tokens,
    outbox,
    requests,
)

_TEXTS: Final = sa.ARRAY(sa.String).with_variant(sa.JSON(), "sqlite")

_OF_ACCOUNT: Final = (accounts.c.tenant == sa.bindparam("of_tenant")) & (
    accounts.c.month == sa.bindparam("of_month")
)
_MONTH: Final = (month_tokens.c.tenant, month_tokens.c.month, month_tokens.c.model)
_TOKENS: Final = (
    month_tokens.c.input_tokens,
    month_tokens.c.cached_tokens,
    month_tokens.c.output_tokens,
)
_REQUEST: Final = (
    requests.c.request_id,
    requests.c.tenant,
    requests.c.idempotency_key,
    requests.c.request_hash,
    requests.c.state,
    requests.c.month,
    requests.c.reserved_micro,
)


class Statements:
    """For one kind of database."""

    def __init__(self, dialect: sa.Dialect) -> None:
        on_postgresql = dialect.name == "postgresql"

        def texts(name: str) -> sa.Select[tuple[str]]:
            given = sa.bindparam(name, type_=_TEXTS)
            if on_postgresql:
                return sa.select(sa.func.unnest(given))
            return sa.select(sa.func.json_each(given).table_valued("value").c.value)

        def one_of(column: sa.Column[str], name: str) -> sa.ColumnElement[bool]:
            if on_postgresql:
                return column == sa.any_(sa.bindparam(name, type_=_TEXTS))
            return column.in_(texts(name))

        def insert(table: sa.Table) -> postgresql.Insert | sqlite.Insert:
            return (postgresql.insert if on_postgresql else sqlite.insert)(table).inline()

        def prepared(statement: Any, columns: list[str] | None = None) -> Prepared:
            return Prepared(statement, dialect, columns)

        # Read, in this order: who has locked the requests and the tenants has the rest alone.
        of_requests = one_of(requests.c.request_id, "request_ids")
        of_tenants = sa.union(texts("tenants"), sa.select(requests.c.tenant).where(of_requests))
        self.lock_requests = prepared(
            sa.select(*_REQUEST)
            .where(of_requests)
            .order_by(requests.c.request_id)
            .with_for_update()
        )
        self.lock_chains = prepared(
            sa.select(chains.c.tenant, chains.c.number, chains.c.hash)
            .where(chains.c.tenant.in_(of_tenants))
            .order_by(chains.c.tenant)
            .with_for_update(of=chains)
        )
        self.add_chain = prepared(insert(chains).on_conflict_do_nothing())
        self.tokens_before = prepared(
            sa.select(*_MONTH, *_TOKENS).where(
                month_tokens.c.tenant.in_(of_tenants),
                month_tokens.c.month.in_(
                    sa.union(texts("months"), sa.select(requests.c.month).where(of_requests))
                ),
                one_of(month_tokens.c.model, "models"),
            )
        )
        self.used_of_accounts = prepared(
            sa.select(accounts.c.tenant, accounts.c.spent_micro + accounts.c.reserved_micro)
            .where(one_of(accounts.c.tenant, "tenants"))
            .where(accounts.c.month == sa.bindparam("of_month"))
        )
        self.requests_of_keys = prepared(
            sa.select(*_REQUEST).where(
                one_of(requests.c.tenant, "tenants"),
                one_of(requests.c.idempotency_key, "keys"),
            )
        )
        self.under_way = prepared(
            sa.select(requests.c.tenant, sa.func.count())
            .where(one_of(requests.c.tenant, "tenants"), requests.c.state == RESERVED)
            .group_by(requests.c.tenant)
        )
        self.answer = prepared(
            sa.select(answers.c.answer).where(
                answers.c.request_id == sa.bindparam("of_request")
            )
        )
        self.charge = prepared(
            sa.select(*(entries.c[name] for name in ENTRY_FIELDS)).where(
                entries.c.request_id == sa.bindparam("of_request"), entries.c.kind == "charge"
            )
        )
        self.reversal = prepared(
            sa.select(entries.c.number).where(
                entries.c.request_id == sa.bindparam("of_request"), entries.c.kind == "reversal"
            )
        )

        # Written.
        self.add_request = prepared(insert(requests))
        self.settle_requests = prepared(
            requests.update().where(of_requests).values(state=SETTLED)
        )
        # A released one gives its key back.
        self.release_requests = prepared(
            requests.update().where(of_requests).values(state=RELEASED, idempotency_key=None)
        )
        self.add_entry = prepared(insert(entries))
        self.add_answer = prepared(insert(answers))
        self.add_event = prepared(insert(outbox), ["event"])
        self.move_chain = prepared(
            chains.update()
            .where(chains.c.tenant == sa.bindparam("of_tenant"))
            .values(number=sa.bindparam("new_number"), hash=sa.bindparam("new_hash"))
        )
        month = insert(month_tokens)
        self.set_month = prepared(
            month.on_conflict_do_update(
                index_elements=_MONTH,
                set_={column.name: month.excluded[column.name] for column in _TOKENS},
            )
        )
        reserve = insert(accounts)
        self.reserve_in_account = prepared(
            reserve.on_conflict_do_update(
                index_elements=[accounts.c.tenant, accounts.c.month],
                set_={
                    "reserved_micro": accounts.c.reserved_micro
                    + reserve.excluded.reserved_micro
                },
            )
        )
        self.add_to_account = prepared(
            accounts.update()
            .where(_OF_ACCOUNT)
            .values(
                spent_micro=accounts.c.spent_micro + sa.bindparam("more_spent"),
                reserved_micro=accounts.c.reserved_micro + sa.bindparam("more_reserved"),
            )
        )
