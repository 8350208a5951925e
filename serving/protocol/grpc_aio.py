"""A connection over gRPC, for an event loop: one for all requests.

Where its name has several addresses, there is a connection to each, and they are asked in turn.
gRPC looks a name up when a connection breaks, and not before: here it is looked up again every
so often, so that servers that were started since get requests, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from typing import Final, TypeVar

import grpc

from serving.protocol import grpc_api
from serving.protocol.errors import grpc_failure
from serving.protocol.exchange import CONNECT_TIMEOUT_S, AsyncConnection, Exchange
from serving.protocol.grpc_sync import CHANNEL_OPTIONS, code_of, method

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_UP_EVERY_S: Final = 30.0
"""How often a name is looked up, whatever its connections do."""
# Longer than any request may take: the connections from before answer what they were asked.
_OLD_CONNECTIONS_S: Final = 120.0

_OPTIONS: Final = (
    *CHANNEL_OPTIONS,
    # Many requests share this process's memory.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # To each address of the name, in turn; the default is to one of them.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.service_config_disable_resolution", 1),
    # A name that had no address yet, or other ones. The default is half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A server that comes back is found at the next health check, not minutes later.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # What gRPC calls this is the time that it waits for a connection.
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
    # A machine that has gone without a word is noticed. Only here, where no request takes
    # minutes: servers close a connection that pings them too often meanwhile.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Two channels to a server have two connections: one that breaks is one that breaks.
    ("grpc.use_local_subchannel_pool", 1),
)


class AioGrpcConnection(AsyncConnection):
    """Asks over HTTP/2."""

    api = grpc_api

    def __init__(self, address: str, look_up_every_s: float = LOOK_UP_EVERY_S) -> None:
        """
        Args:
          address: such as ``127.0.0.1:8500`` or ``models:8500``, or another of gRPC's names:
            https://grpc.github.io/grpc/core/md_doc_naming.html
          look_up_every_s: how often a name is looked up again; an IP address is not.
        """
        self._address = address
        self._look_up_every_s = float("inf") if _is_ip(address) else look_up_every_s
        self._looked_up_at = time.monotonic()
        self._looking_up: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        tasks = [*self._closing, *([self._looking_up] if self._looking_up else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    async def ask(self, exchange: Exchange[T], deadline: float) -> T:
        call: grpc_api.Call = exchange.request
        # A channel belongs to the loop that runs when it is made.
        if self._channel is None:
            self._channel = self._new_channel()
        self._look_up_if_due()
        try:
            response = await method(self._channel, call)(
                call.message, timeout=deadline - time.monotonic()
            )
        except grpc.aio.AioRpcError as error:
            raise grpc_failure(code_of(error), error.details() or "") from None
        return exchange.read(response)

    def _new_channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._address, options=_OPTIONS)

    def _look_up_if_due(self) -> None:
        """Beside the request, which does not wait for it."""
        now = time.monotonic()
        due = now >= self._looked_up_at + self._look_up_every_s
        if due and (self._looking_up is None or self._looking_up.done()):
            self._looked_up_at = now
            self._looking_up = asyncio.create_task(self._look_up())

    async def _look_up(self) -> None:
        """Use new connections, to the addresses that the name has now, once one is made."""
        new = self._new_channel()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await new.channel_ready()
        except BaseException as error:
            await new.close()
            if not isinstance(error, TimeoutError):
                raise
            _LOG.debug("%s has no address that takes connections", self._address)
            return
        old, self._channel = self._channel, new
        if old is not None:
            closing = asyncio.create_task(old.close(_OLD_CONNECTIONS_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True
