"""Gives back what a process that died had reserved, while the others run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from serving.ledger import schema
from serving.ledger.database import reading
from serving.ledger.leases import Lease, LeaseWatch
from serving.ledger.ledger import Ledger
from serving.ledger.schema import RESERVED

_LOG = logging.getLogger(__name__)

_LEAST_PAUSE_S: Final = 0.01


def release_ownerless(ledger: Ledger) -> list[str]:
    """Release reservations whose lease has ended: nobody will settle them any more.

    A request that was not settled was not answered: its answer leaves the gateway after the
    ledger has it. So its tenant owes nothing.

    Returns:
      The requests released. One that another process releases at the same time is in the
      list of one of them only.
    """
    requests, leases = schema.requests.c, schema.leases.c
    with reading(ledger.engine) as connection:
        left = connection.scalars(
            sa.select(requests.request_id)
            .where(
                requests.state == RESERVED,
                requests.owner.not_in(sa.select(leases.lease_id)),
            )
            .order_by(requests.created_at)
        ).all()
    return [request_id for request_id in left if ledger.release(request_id)]


def take_over(watch: LeaseWatch, ledger: Ledger) -> list[str]:
    """End the leases that are no longer renewed, and release what was reserved under them.

    Args:
      watch: that has been asked before; the first time, it cannot tell yet.

    Returns:
      The requests released.
    """
    for lease in watch.ended():
        if watch.take_away(lease):
            _LOG.warning(
                "The lease %s of %r was not renewed for %g s and has ended",
                lease.lease_id,
                lease.label,
                lease.ends_after_s,
            )
    return release_ownerless(ledger)


def recover(ledger: Ledger, timer: Callable[[], float] = time.monotonic) -> list[str]:
    """Watch all leases for as long as it takes to tell which have ended, and release what was
    reserved under those: at most the longest lease's time.

    Returns:
      The requests released.
    """
    watch = LeaseWatch(ledger.engine, timer)
    began = timer()
    released = take_over(watch, ledger)
    first = {each.lease_id: each for each in watch.seen()}
    while first:
        time.sleep(max(_LEAST_PAUSE_S, min(each.lease_s for each in first.values()) / 12))
        released += take_over(watch, ledger)
        now = {each.lease_id: each for each in watch.seen()}
        for name, lease in list(first.items()):
            renewed = name in now and now[name].renewals != lease.renewals
            if renewed or name not in now or timer() > began + lease.lease_s:
                del first[name]
    return released


class LeaseKeeper:
    """Renews a process's lease in a thread, and takes over from processes that have ended."""

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        also: Sequence[Callable[[], object]] = (),
    ) -> None:
        """
        Args:
          ledger: the lease's.
          also: what else is to be done as often as the lease is renewed.
        """
        self._ledger = ledger
        self._lease = lease
        self._also = also
        self._watch = LeaseWatch(ledger.engine)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to take over from others: once this process serves, and not before."""
        self._thread.start()

    def stop(self) -> None:
        """End the lease. What is still reserved under it is released, by this process or, where
        it has not begun to take over, by another one."""
        self._over.set()
        began = self._thread.ident is not None
        if began:
            self._thread.join()
        try:
            self._lease.end()
            if began:
                self._tell(release_ownerless(self._ledger))
        except sa.exc.SQLAlchemyError as error:
            _LOG.warning("The lease %s ends by itself: %s", self._lease.id, error)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._tick()
            except sa.exc.SQLAlchemyError as error:
                _LOG.warning("The lease %s could not be renewed: %s", self._lease.id, error)
            except Exception:
                _LOG.exception("The lease %s could not be renewed", self._lease.id)
            self._over.wait(self._lease.every_s)

    def _tick(self) -> None:
        before = self._lease.id
        if not self._lease.renew():
            _LOG.warning(
                "The lease %s was lost: this process did not renew it in time. What it had "
                "reserved is released; it goes on with the lease %s",
                before,
                self._lease.id,
            )
        self._tell(take_over(self._watch, self._ledger))
        for do in self._also:
            do()

    def _tell(self, released: Sequence[str]) -> None:
        if released:
            _LOG.warning("Released reservations whose lease had ended: %s", list(released))
