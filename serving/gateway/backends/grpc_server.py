"""A model server asked over gRPC, by one connection for all requests. No TensorFlow.

Where its name has several addresses, there is a connection to each, and they are asked in turn.
gRPC looks a name up when a connection breaks, and not before: here it is looked up again every
so often, so that servers that were started since get requests, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from typing import Any, Final

import grpc

from serving.gateway.backends.server import CONNECT_TIMEOUT_S, Columns, ModelServer
from serving.protocol import messages
from serving.protocol.columns import read_column, write_column
from serving.protocol.errors import BadAnswerError, grpc_failure
from serving.protocol.statuses import Code

_LOG = logging.getLogger(__name__)

LOOK_UP_EVERY_S: Final = 30.0
"""How often a name is looked up, whatever its connections do."""
# Longer than any request may take: the connections from before answer what they were asked.
_OLD_CONNECTIONS_S: Final = 120.0

_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_METADATA: Final = "/tensorflow.serving.PredictionService/GetModelMetadata"
_STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # As with REST: no proxy from the environment between the gateway and its models.
    ("grpc.enable_http_proxy", 0),
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
    # A machine that has gone without a word is noticed.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Two channels to a server have two connections: one that breaks is one that breaks.
    ("grpc.use_local_subchannel_pool", 1),
)


class GrpcServer(ModelServer):
    """Asks over HTTP/2; to be used in one event loop."""

    def __init__(
        self, url: str, model: str, address: str, look_up_every_s: float = LOOK_UP_EVERY_S
    ) -> None:
        """
        Args:
          address: such as ``127.0.0.1:8500`` or ``models:8500``, or another of gRPC's names:
            https://grpc.github.io/grpc/core/md_doc_naming.html
          look_up_every_s: how often a name is looked up again; an IP address is not.
        """
        super().__init__(url, model)
        self._address = address
        self._look_up_every_s = float("inf") if _is_ip(address) else look_up_every_s
        self._looked_up_at = time.monotonic()
        self._looking_up: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def close(self) -> None:
        tasks = [*self._closing, *([self._looking_up] if self._looking_up else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    async def predict(
        self, version: int, signature: str, inputs: Columns, deadline: float
    ) -> Columns:
        request = messages.PredictRequest()
        request.model_spec.name = self.model
        request.model_spec.version.value = version
        request.model_spec.signature_name = signature
        rows = 0
        for name, values in inputs.items():
            write_column(request.inputs[name], values)
            rows = len(values)
        response = await self._ask(_PREDICT, request, messages.PredictResponse, deadline)
        answered_by = response.model_spec.version.value
        if answered_by != version:
            raise BadAnswerError(
                f"it comes from version {answered_by}. Expected: version {version}."
            )
        return {
            name: read_column(name, tensor, rows) for name, tensor in response.outputs.items()
        }

    async def _available(self, deadline: float) -> frozenset[int]:
        self._look_up_if_due()
        request = messages.GetModelStatusRequest()
        request.model_spec.name = self.model
        response = await self._ask(_STATUS, request, messages.GetModelStatusResponse, deadline)
        return frozenset(
            entry.version
            for entry in response.model_version_status
            if entry.state == messages.AVAILABLE
        )

    async def _labelled(self, label: str, deadline: float) -> int:
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self.model
        request.model_spec.version_label = label
        response = await self._ask(
            _METADATA, request, messages.GetModelMetadataResponse, deadline
        )
        return int(response.model_spec.version.value)

    async def _ask(self, method: str, request: Any, answer: Any, deadline: float) -> Any:
        left_s = deadline - time.monotonic()
        try:
            return await self._call(method, answer)(request, timeout=left_s)
        except grpc.aio.AioRpcError as error:
            raise grpc_failure(
                Code.of_number(error.code().value[0]), error.details() or ""
            ) from None

    def _call(self, method: str, answer: Any) -> Any:
        # A channel belongs to the loop that runs when it is made.
        if self._channel is None:
            self._channel = self._new_channel()
        if method not in self._calls:
            self._calls[method] = self._channel.unary_unary(
                method,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answer.FromString,
            )
        return self._calls[method]

    def _new_channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self._address, options=_OPTIONS)

    def _look_up_if_due(self) -> None:
        """With the health checks: no request waits for it."""
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
            _LOG.debug("%s has no address that takes connections", self.url)
            return
        old, self._channel, self._calls = self._channel, new, {}
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
