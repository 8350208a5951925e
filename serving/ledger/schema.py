"""The ledger's tables, for SQLite and PostgreSQL alike.

Only ``entries`` and ``audit_log`` are append-only. ``accounts``, ``month_tokens``,
``daily_usage`` and ``chains`` hold what the entries add up to, so that a request reads a row of
each and not a month; `serving.ledger.verification` holds them to it.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

metadata: Final = sa.MetaData()

_TEXT: Final = sa.String(255)

tenants: Final = sa.Table(
    "tenants",
    metadata,
    sa.Column("name", _TEXT, primary_key=True),
    sa.Column("plan", _TEXT, nullable=False),
    sa.Column("budget_micro", sa.BigInteger),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("requests_per_minute", sa.Integer),
    sa.Column("tokens_per_minute", sa.Integer),
    sa.Column("max_concurrent", sa.Integer),
)

# A key's secret is not kept: only its hash; while it is rotated, that of the one before, too.
api_keys: Final = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.String(32), primary_key=True),
    sa.Column("tenant", _TEXT, sa.ForeignKey("tenants.name"), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("models", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("revoked_at", sa.DateTime),
    sa.Column("name", _TEXT, nullable=False, server_default=""),
    sa.Column("scopes", sa.Text, nullable=False, server_default="*"),
    sa.Column("budget_micro", sa.BigInteger),
    sa.Column("expires_at", sa.DateTime),
    sa.Column("suspended_at", sa.DateTime),
    sa.Column("last_used_at", sa.DateTime),
    sa.Column("previous_hash", sa.String(64)),
    sa.Column("previous_until", sa.DateTime),
    sa.Index("keys_by_tenant", "tenant"),
)

# Money and counts of a tenant in a calendar month, UTC, such as 2026-11.
accounts: Final = sa.Table(
    "accounts",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("spent_micro", sa.BigInteger, nullable=False),
    sa.Column("reserved_micro", sa.BigInteger, nullable=False),
    sa.Column("entry_count", sa.BigInteger, nullable=False),
    # The highest share of the month's budget that has been alerted of.
    sa.Column("alerted_percent", sa.Integer, nullable=False, server_default="0"),
    sa.CheckConstraint("reserved_micro >= 0", name="reserved_not_negative"),
    sa.Index("accounts_by_month", "month"),
)

# Tokens of a tenant's month by model: where in its tiers the next request begins.
month_tokens: Final = sa.Table(
    "month_tokens",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("model", _TEXT, primary_key=True),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
)

# At which shares of their month's budget tenants want an alert: percents, joined by commas.
alert_shares: Final = sa.Table(
    "alert_shares",
    metadata,
    sa.Column("tenant", _TEXT, sa.ForeignKey("tenants.name"), primary_key=True),
    sa.Column("percents", _TEXT, nullable=False),
)


def _usage_by_day() -> list[sa.Column[Any]]:
    names = ("requests", "input_tokens", "cached_tokens", "output_tokens", "amount_micro")
    return [
        sa.Column("tenant", _TEXT, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("key_id", sa.String(32), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("model", _TEXT, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in names),
    ]


# What a tenant's key has used, by the day of the entries, UTC, and by the month that pays. No
# key: entries from before it was written down.
daily_usage: Final = sa.Table(
    "daily_usage",
    metadata,
    *_usage_by_day(),
    sa.Index("daily_usage_by_day", "day"),
)

# The end of each tenant's chain of entries; and of those who pay in advance: since which entry,
# how much they have bought, and what of it is charged.
chains: Final = sa.Table(
    "chains",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("credit_since", sa.BigInteger),
    sa.Column("credit_micro", sa.BigInteger),
    sa.Column("credit_used_micro", sa.BigInteger),
)

RESERVED: Final = "reserved"
SETTLED: Final = "settled"
RELEASED: Final = "released"

# Processes that may reserve. A counter that stands still is that of a process that has ended.
leases: Final = sa.Table(
    "leases",
    metadata,
    sa.Column("lease_id", _TEXT, primary_key=True),
    sa.Column("label", _TEXT, nullable=False),
    sa.Column("renewals", sa.BigInteger, nullable=False),
    sa.Column("lease_ms", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),
)

# Every request that was let run: reserved, settled or released.
requests: Final = sa.Table(
    "requests",
    metadata,
    sa.Column("request_id", _TEXT, primary_key=True),
    sa.Column("tenant", _TEXT, nullable=False),
    sa.Column("idempotency_key", _TEXT),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("reserved_micro", sa.BigInteger, nullable=False),
    sa.Column("owner", _TEXT, nullable=False),  # the lease
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("route", _TEXT),
    sa.Column("key_id", sa.String(32), nullable=False, server_default=""),
    sa.CheckConstraint("state in ('reserved', 'settled', 'released')", name="state"),
    sa.UniqueConstraint("tenant", "idempotency_key", name="one_request_a_key"),
    sa.Index("requests_by_state", "state", "created_at"),
    sa.Index("requests_by_tenant", "tenant", "state"),
)

# Of requests with a key, for those that are repeated.
answers: Final = sa.Table(
    "answers",
    metadata,
    sa.Column("request_id", _TEXT, sa.ForeignKey("requests.request_id"), primary_key=True),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("kept_until", sa.DateTime, nullable=False),
    sa.Index("answers_by_time", "kept_until"),
)

# Answers of requests without a key, until they are delivered; empty while one is computed for
# nobody. The holder is the lease of the process that delivers it.
undelivered: Final = sa.Table(
    "undelivered",
    metadata,
    sa.Column("request_id", _TEXT, primary_key=True),
    sa.Column("tenant", _TEXT, nullable=False),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("route", _TEXT, nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("kept_until", sa.DateTime, nullable=False),
    sa.Column("holder", _TEXT),
    # None by time: there are few, and each request writes one and removes it.
    sa.Index("undelivered_by_request", "tenant", "request_hash"),
)

entries: Final = sa.Table(
    "entries",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("request_id", _TEXT, nullable=False),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("model", _TEXT, nullable=False),
    sa.Column("model_version", _TEXT, nullable=False),
    sa.Column("tokenizer_fingerprint", _TEXT, nullable=False),
    sa.Column("contract_version", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("finish_reasons", _TEXT, nullable=False),
    sa.Column("latency_ms", sa.BigInteger, nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("price_id", _TEXT, nullable=False),
    sa.Column("reason", _TEXT, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("input_tokens_before", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens_before", sa.BigInteger, nullable=False),
    sa.Column("output_tokens_before", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),
    sa.Column("work_hash", sa.String(64), nullable=False),
    sa.Column("made_by", _TEXT, nullable=False),
    sa.Column("code", sa.String(96), nullable=False),
    # A request is charged once, and its charge is reversed once; refunds may be several.
    sa.Index(
        "one_entry_a_kind",
        "request_id",
        "kind",
        sa.text("(CASE WHEN kind = 'refund' THEN number ELSE 0 END)"),
        unique=True,
    ),
    sa.CheckConstraint("kind in ('charge', 'reversal', 'refund', 'top_up')", name="kind"),
    sa.Index("entries_by_time", "tenant", "created_at"),
)

# Closed months whose entries are in a file, of this SHA-256; and whether they are here no more.
archive_files: Final = sa.Table(
    "archive_files",
    metadata,
    sa.Column("month", sa.String(7), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("written_at", sa.DateTime, nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False),
)

# Sections of chains that are in an archive: the only entries that can be deleted. What they and
# those before them add up to is carried forward.
archives: Final = sa.Table(
    "archives",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("last_number", sa.BigInteger, primary_key=True),
    sa.Column("first_number", sa.BigInteger, nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
    sa.Column("last_hash", sa.String(64), nullable=False),
    sa.Column("carried", sa.Text, nullable=False),
)

# What the archived entries add up to by day, as in `daily_usage`, which is held to it; by the
# month of the archive, and the one that paid.
archived_usage: Final = sa.Table(
    "archived_usage",
    metadata,
    sa.Column("archive", sa.String(7), primary_key=True),
    *_usage_by_day(),
    sa.Index("archived_usage_by_tenant", "tenant"),
)

# Idempotency keys of requests whose charges are archived: they stay used.
archived_keys: Final = sa.Table(
    "archived_keys",
    metadata,
    sa.Column("tenant", _TEXT, primary_key=True),
    sa.Column("idempotency_key", _TEXT, primary_key=True),
    sa.Column("request_id", _TEXT, nullable=False),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("month", sa.String(7), nullable=False),
)

# Usage events that have not been delivered yet.
outbox: Final = sa.Table(
    "outbox",
    metadata,
    # SQLite numbers rows by itself only where the key is its INTEGER.
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("holder", _TEXT),  # the lease of the process that delivers it
)

# What administrators have changed; the states before and after are JSON, without secrets.
audit_log: Final = sa.Table(
    "audit_log",
    metadata,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("actor", _TEXT, nullable=False),
    sa.Column("via", sa.String(16), nullable=False),
    sa.Column("action", _TEXT, nullable=False),
    sa.Column("tenant", _TEXT, nullable=False),
    sa.Column("subject", _TEXT, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    # Of a form that was confirmed: its change is made once, at whichever gateways it arrives.
    sa.Column("confirmation", sa.String(64)),
    sa.Index("one_change_a_confirmation", "confirmation", unique=True),
    sa.Index("audit_log_by_tenant", "tenant", "id"),
    sa.Index("audit_log_by_action", "action", "tenant", "id"),
)

# Sessions of the console whose holders have signed out, until they would be over anyway.
ended_sessions: Final = sa.Table(
    "ended_sessions",
    metadata,
    sa.Column("session", sa.String(64), primary_key=True),
    sa.Column("kept_until", sa.DateTime, nullable=False),
    sa.Index("ended_sessions_by_time", "kept_until"),
)

# What model servers answered and failed at, by day, version and the error's code, which is
# empty for answers: counts to compare versions by.
daily_versions: Final = sa.Table(
    "daily_versions",
    metadata,
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("model", _TEXT, primary_key=True),
    sa.Column("version", _TEXT, primary_key=True),
    sa.Column("error", sa.String(64), primary_key=True),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("requests", "latency_ms", "summaries", "output_tokens", "stopped")
    ),
)
