"""A connection over gRPC, for callers that wait; and what every channel of gRPC's is set to."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import grpc

from serving.protocol import grpc_api
from serving.protocol.errors import grpc_failure
from serving.protocol.exchange import Connection, Exchange
from serving.protocol.statuses import Code

T = TypeVar("T")

CHANNEL_OPTIONS: Final = (
    # Of any size: the server has a limit of its own.
    ("grpc.max_send_message_length", -1),
    # As with REST: no proxy from the environment between a client and its models.
    ("grpc.enable_http_proxy", 0),
)


class GrpcConnection(Connection):
    """Asks over HTTP/2."""

    api = grpc_api

    def __init__(self, address: str) -> None:
        """
        Args:
          address: such as ``127.0.0.1:8500``.
        """
        options = (*CHANNEL_OPTIONS, ("grpc.max_receive_message_length", -1))
        self._channel = grpc.insecure_channel(address, options=options)

    def close(self) -> None:
        self._channel.close()

    def ask(self, exchange: Exchange[T], timeout_s: float) -> T:
        try:
            response = method(self._channel, exchange.request)(
                exchange.request.message, timeout=timeout_s
            )
        except grpc.RpcError as error:
            raise grpc_failure(code_of(error), error.details() or "") from None
        return exchange.read(response)


def method(channel: Any, call: grpc_api.Call) -> Any:
    """What a call is made by, of a channel of either kind."""
    return channel.unary_unary(
        call.method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=call.answer.FromString,
    )


def code_of(error: Any) -> Code:
    return Code.of_number(error.code().value[0])
