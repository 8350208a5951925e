"""Delivers usage events: each at least once, with an id that is the same each time.

An event is written with its entry, in one transaction, and taken away when whoever gets it
has it. A delivery that dies in between delivers again: its receiver knows the id.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading, writing

BATCH: Final = 100
CONTENT_TYPE: Final = "application/cloudevents-batch+json"
_TIMEOUT_S: Final = 30.0

# Takes events, JSON each; returns when they are safe with the receiver.
Sink = Callable[[Sequence[str]], None]


class DeliveryError(RuntimeError):
    """The receiver did not take events. They are kept; worth a retry."""


def deliver(engine: sa.Engine, sink: Sink) -> int:
    """Deliver all events that wait, in the order in which they were written.

    Returns:
      How many were delivered.

    Raises:
      DeliveryError: the receiver did not take some; those before are delivered.
    """
    delivered = 0
    while True:
        with reading(engine) as connection:
            rows = connection.execute(
                sa.select(schema.outbox).order_by(schema.outbox.c.id).limit(BATCH)
            ).all()
        if not rows:
            return delivered
        sink([row.event for row in rows])
        with writing(engine) as connection:
            connection.execute(
                schema.outbox.delete().where(schema.outbox.c.id.in_([row.id for row in rows]))
            )
        delivered += len(rows)


def waiting(engine: sa.Engine) -> int:
    """How many events wait to be delivered."""
    with reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.outbox)) or 0


def to_file(path: Path) -> Sink:
    """Appends events to a file, a line each, on the disk before it returns."""

    def append(events: Sequence[str]) -> None:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{event}\n" for event in events)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(
                f"Cannot append to {path}: {error}. The events are kept."
            ) from None

    return append


def to_http(url: str, token: str | None = None) -> Sink:
    """Posts events as a batch of CloudEvents, as OpenMeter's ``/api/v1/events`` takes them.

    Args:
      token: sent as a bearer token.
    """
    headers = {"Content-Type": CONTENT_TYPE}
    if token:
        headers["Authorization"] = f"Bearer {token}"

    def post(events: Sequence[str]) -> None:
        body = f"[{','.join(events)}]".encode()
        try:
            answer = httpx.post(
                url, content=body, headers=headers, timeout=_TIMEOUT_S, trust_env=False
            )
        except httpx.HTTPError as error:
            raise DeliveryError(
                f"{url} cannot be reached: {type(error).__name__}: {error}. The events are "
                "kept."
            ) from None
        if not answer.is_success:
            raise DeliveryError(
                f"{url} did not accept the events: HTTP {answer.status_code}, "
                f"{answer.text[:200]!r}. The events are kept."
            )

    return post
