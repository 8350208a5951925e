"""The statements of a request's life, made once: making one takes longer than executing it.

Parameters that are not columns to insert have names that no column has.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from serving.ledger.schema import (
    accounts,
    answers,
    chains,
    entries,
    month_tokens,
    outbox,
    requests,
)

_TENANT: Final[sa.BindParameter[str]] = sa.bindparam("of_tenant")
_MONTH: Final[sa.BindParameter[str]] = sa.bindparam("of_month")
_REQUEST: Final[sa.BindParameter[str]] = sa.bindparam("of_request")

LOCK_CHAIN: Final = sa.select(chains).where(chains.c.tenant == _TENANT).with_for_update()
MOVE_CHAIN: Final = (
    chains.update()
    .where(chains.c.tenant == _TENANT)
    .values(number=sa.bindparam("new_number"), hash=sa.bindparam("new_hash"))
)

_ACCOUNT: Final = (accounts.c.tenant == _TENANT) & (accounts.c.month == _MONTH)
FIND_ACCOUNT: Final = sa.select(accounts).where(_ACCOUNT)
ADD_TO_ACCOUNT: Final = (
    accounts.update()
    .where(_ACCOUNT)
    .values(
        spent_micro=accounts.c.spent_micro + sa.bindparam("more_spent"),
        reserved_micro=accounts.c.reserved_micro + sa.bindparam("more_reserved"),
    )
)

LOCK_REQUEST: Final = (
    sa.select(requests).where(requests.c.request_id == _REQUEST).with_for_update()
)
FIND_KEY: Final = sa.select(requests).where(
    requests.c.tenant == _TENANT, requests.c.idempotency_key == sa.bindparam("of_key")
)
END_REQUEST: Final = (
    requests.update()
    .where(requests.c.request_id == _REQUEST)
    .values(state=sa.bindparam("new_state"))
)
FREE_KEY: Final = (
    requests.update().where(requests.c.request_id == _REQUEST).values(idempotency_key=None)
)

_TOKENS: Final = month_tokens.c
_OF_MODEL: Final = (
    (_TOKENS.tenant == _TENANT)
    & (_TOKENS.month == _MONTH)
    & (_TOKENS.model == sa.bindparam("of_model"))
)
TOKENS_BEFORE: Final = sa.select(
    _TOKENS.input_tokens, _TOKENS.cached_tokens, _TOKENS.output_tokens
).where(_OF_MODEL)
ADD_TOKENS: Final = (
    month_tokens.update()
    .where(_OF_MODEL)
    .values(
        {
            column: column + sa.bindparam(f"more_{column.name}")
            for column in (_TOKENS.input_tokens, _TOKENS.cached_tokens, _TOKENS.output_tokens)
        }
    )
)

ADD_MONTH: Final = month_tokens.insert()
ADD_REQUEST: Final = requests.insert()
ADD_ENTRY: Final = entries.insert()
ADD_ANSWER: Final = answers.insert()
ADD_EVENT: Final = outbox.insert()
