"""A real model server over gRPC that refuses requests as one does that has no thread left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

WORDS = "Server Threadpool Exhausted"


class ThreadLimitedServer(grpc.GenericRpcHandler):
    """Forwards every call, but for those that it is to refuse.

    Attributes:
      port: to be asked instead of the server's.
      refused: how many calls were refused, by their method.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._left: dict[str, int] = {}
        self._status = grpc.StatusCode.RESOURCE_EXHAUSTED, WORDS
        self._lock = threading.Lock()
        self.refused: dict[str, int] = {}
        self.port = 0

    def refuse(
        self,
        method: str,
        times: int,
        code: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED,
        words: str = WORDS,
    ) -> None:
        """Refuse the next calls of a method, such as ``Predict``, in a server's words."""
        with self._lock:
            self._status = code, words
            self._left[method] = times

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        def forward(request: bytes, context: Any) -> Any:
            method = details.method.rsplit("/", 1)[1]
            with self._lock:
                refuse = self._left.get(method, 0) > 0
                if refuse:
                    self._left[method] -= 1
                    self.refused[method] = self.refused.get(method, 0) + 1
            if refuse:
                context.abort(*self._status)
            call: Any = self._channel.unary_unary(details.method)
            try:
                return call(request, timeout=context.time_remaining())
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(forward)

    def close(self) -> None:
        self._channel.close()


@contextmanager
def thread_limited_server(address: str) -> Iterator[ThreadLimitedServer]:
    """In front of the server at an address."""
    handler = ThreadLimitedServer(address)
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((handler,))
    handler.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield handler
    finally:
        server.stop(None).wait()
        handler.close()
