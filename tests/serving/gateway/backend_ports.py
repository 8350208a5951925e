"""Ports that behave as a model server never should, for tests of what is made of that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# HTTP/2's settings frame: without one, gRPC would not send a request at all.
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port that takes no connection and refuses none, as a machine that is gone."""
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # The system keeps one or two connections that nobody has taken, and no more.
        for _ in range(4):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def breaking_port(scheme: str) -> Iterator[int]:
    """A port that reads a request, and then breaks the connection without an answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(0.1)
                    if scheme == "grpc":
                        connection.sendall(_SETTINGS)
                    received = b""
                    while b"summarize" not in received and not over.is_set():
                        try:
                            received += connection.recv(65536)
                        except TimeoutError:
                            continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()
