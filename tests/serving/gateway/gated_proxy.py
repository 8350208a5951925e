"""Stands between the gateway and a real model server, and can hold back what passes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_POLL_S = 0.02
# So a question to the model is told from a look at the server.
_QUESTION = b":predict"


class GatedProxy:
    """Forwards bytes, both ways; while its gate is shut, no answer to a question comes back.

    Attributes:
      url: to be asked instead of the server's.
      computing: so many questions have gone to the server; every one is computed.
    """

    def __init__(self, server_url: str) -> None:
        target = urlsplit(server_url)
        self._target = (target.hostname or "", target.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._broken = False
        self._lock = threading.Lock()
        self.computing = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def open_broken(self) -> None:
        """Break the connections of the questions that wait instead of answering them."""
        self._broken = True
        self._open.set()

    def close(self) -> None:
        self._over.set()
        self._open.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(_POLL_S)
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._forward, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        """One connection: a question, its answer, the next question."""
        with client, socket.create_connection(self._target) as server:
            client.settimeout(_POLL_S)
            server.settimeout(_POLL_S)
            gated = False
            while not self._over.is_set():
                try:
                    asked = client.recv(65536)
                    if not asked:
                        return
                    gated = _QUESTION in asked or gated
                    if _QUESTION in asked:
                        with self._lock:
                            self.computing += 1
                    server.sendall(asked)
                except TimeoutError:
                    pass
                except OSError:
                    return
                try:
                    answered = server.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not answered:
                    return
                if gated:
                    self._open.wait()
                    if self._broken:
                        return
                    gated = False
                try:
                    client.sendall(answered)
                except OSError:
                    return


@contextmanager
def gated_proxy(server_url: str) -> Iterator[GatedProxy]:
    proxy = GatedProxy(server_url)
    try:
        yield proxy
    finally:
        proxy.close()
