"""Delivers usage events: each at least once, with an id that is the same each time.

An event is written with its entry, in one transaction, and taken away when whoever gets it
has it. A delivery that dies in between delivers again: its receiver knows the id.

Whoever delivers claims some events first, under its lease, so that several share the work and
none sends what another one is sending. What a process had claimed that died is free when its
lease has ended. So events of one process arrive in the order in which they were written; those
of several may overtake each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading, writing
from serving.ledger.leases import Lease

BATCH: Final = 100
CONTENT_TYPE: Final = "application/cloudevents-batch+json"
_TIMEOUT_S: Final = 30.0
_OWN_LEASE_S: Final = 240.0
"""Of a delivery by hand: longer than a batch takes, as it is renewed before each."""

# Takes events, JSON each; returns when they are safe with the receiver.
Sink = Callable[[Sequence[str]], None]


class DeliveryError(RuntimeError):
    """The receiver did not take events. They are kept; worth a retry."""


def deliver(
    engine: sa.Engine,
    sink: Sink,
    lease: Lease | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """Deliver all events that wait and nobody else delivers, in the order in which they were
    written.

    Args:
      lease: of this process, which renews it; None for one of this delivery's own.
      go_on: whether another batch may begin.

    Returns:
      How many were delivered.

    Raises:
      DeliveryError: the receiver did not take some; those before are delivered.
    """
    if lease is None:
        own = Lease(engine, "delivery", _OWN_LEASE_S)
        try:
            return _deliver(engine, sink, own, own.renew, go_on)
        finally:
            own.end()
    return _deliver(engine, sink, lease, lease.assure, go_on)


def _deliver(
    engine: sa.Engine,
    sink: Sink,
    lease: Lease,
    hold: Callable[[], object],
    go_on: Callable[[], bool],
) -> int:
    delivered = 0
    while go_on():
        if not _any(engine):
            break
        hold()
        claimed = _claim(engine, lease.id)
        if not claimed:
            break
        outbox, ids = schema.outbox, [number for number, _ in claimed]
        try:
            sink([event for _, event in claimed])
        except BaseException:
            with writing(engine) as connection:
                free = outbox.update().where(outbox.c.id.in_(ids), outbox.c.holder == lease.id)
                connection.execute(free.values(holder=None))
            raise
        with writing(engine) as connection:
            connection.execute(outbox.delete().where(outbox.c.id.in_(ids)))
        delivered += len(claimed)
    return delivered


def _any(engine: sa.Engine) -> bool:
    """Whether something waits; it locks nothing."""
    with reading(engine) as connection:
        return connection.scalar(sa.select(schema.outbox.c.id).limit(1)) is not None


def _claim(engine: sa.Engine, holder: str) -> list[tuple[int, str]]:
    """The oldest events that nobody has claimed who lives; they are this lease's now."""
    outbox, leases = schema.outbox.c, schema.leases.c
    free = (
        sa.select(outbox.id)
        .where(
            outbox.holder.is_(None)
            | outbox.holder.not_in(sa.select(leases.lease_id))
            | (outbox.holder == holder)
        )
        .order_by(outbox.id)
        .limit(BATCH)
        # PostgreSQL's: what another one is just claiming is nothing to wait for.
        .with_for_update(skip_locked=True, of=schema.outbox)
    )
    with writing(engine) as connection:
        rows = connection.execute(
            schema.outbox.update()
            .where(outbox.id.in_(free.scalar_subquery()))
            .values(holder=holder)
            .returning(outbox.id, outbox.event)
        ).all()
    return sorted((row.id, row.event) for row in rows)


def waiting(engine: sa.Engine) -> int:
    """How many events wait to be delivered."""
    with reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.outbox)) or 0


def to_file(path: Path) -> Sink:
    """Appends events to a file, a line each, on the disk before it returns. A line that is no
    JSON is half of one, of a process that was killed."""

    def append(events: Sequence[str]) -> None:
        try:
            with path.open("a+b") as file:
                # Whoever was killed may have left half of a line, which must not take in the
                # next one: its event is delivered again.
                if file.seek(0, os.SEEK_END) and not _ends_line(file):
                    file.write(b"\n")
                file.writelines(f"{event}\n".encode() for event in events)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(
                f"Cannot append to {path}: {error}. The events are kept."
            ) from None

    return append


def _ends_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def open_sink(to: str, token_file: Path | None = None) -> Sink:
    """
    Args:
      to: a URL, or a file.
      token_file: contains the bearer token for the URL.

    Raises:
      OSError: the token cannot be read.
    """
    token = token_file.read_text("utf-8").strip() if token_file else None
    if to.startswith(("http://", "https://")):
        return to_http(to, token)
    return to_file(Path(to))


def to_http(url: str, token: str | None = None) -> Sink:
    """Posts events as a batch of CloudEvents, as OpenMeter's ``/api/v1/events`` takes them.

    Args:
      token: sent as a bearer token.
    """
    import httpx  # a gateway that delivers nothing starts without it

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
