"""Stands between the gateway and a real server, and can hold back what passes."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import sqlalchemy as sa

from tests.support.waiting import wait_until

_POLL_S = 0.02


class GatedProxy:
    """Forwards bytes, both ways; while its gate is shut, no answer to a question comes back.

    Attributes:
      port: to be asked instead of the server's.
      questions: so many have gone to the server; it does what they ask, gate or no gate.
    """

    def __init__(self, connect: Callable[[], socket.socket], *question: bytes) -> None:
        """
        Args:
          connect: to the server.
          question: what a question has in it, in this order, unlike all else that is asked.
        """
        self._connect = connect
        self._question = question
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._broken = False
        self._lock = threading.Lock()
        self.questions = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Begin anew: the gate open, no question counted."""
        self.open()
        self.questions = 0

    def shut(self) -> None:
        self._open.clear()

    def wait_for_questions(self, questions: int) -> None:
        """Return when so many have come."""
        wait_until(lambda: self.questions >= questions, f"{questions} questions")

    def open(self) -> None:
        self._broken = False
        self._open.set()

    def open_broken(self) -> None:
        """From now on, break connections where the answer to a question would come back."""
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
        with client, self._connect() as server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            asked, gated = b"", False
            while not self._over.is_set():
                readable = {key.fileobj for key, _ in ready.select(_POLL_S)}
                try:
                    if client in readable:
                        if not (sent := client.recv(65536)):
                            return
                        asked += sent
                        if self._is_question(asked):
                            asked, gated = b"", True
                            with self._lock:
                                self.questions += 1
                        server.sendall(sent)
                    if server in readable:
                        if not (answered := server.recv(65536)):
                            return
                        if gated:
                            self._open.wait()
                            if self._broken:
                                return
                            gated = False
                        client.sendall(answered)
                except OSError:
                    return

    def _is_question(self, asked: bytes) -> bool:
        place = 0
        return all((place := asked.find(part, place)) >= 0 for part in self._question)


@contextmanager
def gated_proxy(server_url: str) -> Iterator[GatedProxy]:
    """Before a model server: questions are those that the model must compute."""
    target = urlsplit(server_url)
    address = (target.hostname or "", target.port or 0)
    proxy = GatedProxy(lambda: socket.create_connection(address), b":predict")
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def gated_postgres(database_url: str, statement: str) -> Iterator[tuple[GatedProxy, str]]:
    """Before a PostgreSQL: questions are commits of transactions with a statement.

    Args:
      database_url: of a server that is reached by a socket in a folder.
      statement: how it begins.

    Yields:
      The proxy, and the database's address through it.
    """
    url = sa.make_url(database_url)
    path = f"{url.query['host']}/.s.PGSQL.5432"

    def connect() -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        return server

    proxy = GatedProxy(connect, statement.encode(), b"COMMIT")
    through = url.set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable"})
    try:
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        proxy.close()
