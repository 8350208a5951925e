"""A name server on this machine, whose answers a test changes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.message
import dns.rdatatype
import dns.rrset

HOST = "models.test"
_POLL_S = 0.05


@dataclass
class NameServer:
    """Answers for one host, over UDP.

    Attributes:
      addresses: of the host, IPv4; none: it has no address.
      lookups: how often they were asked for.
    """

    port: int
    addresses: list[str] = field(default_factory=list)
    lookups: int = 0

    def target(self, port: int) -> str:
        """The host's name for gRPC, to be looked up here."""
        return f"dns://127.0.0.1:{self.port}/{HOST}:{port}"

    def answer(self, query: bytes) -> bytes:
        message = dns.message.from_wire(query)
        (question,) = message.question
        response = dns.message.make_response(message)
        asked = question.name.to_text(omit_final_dot=True)
        if (question.rdtype, asked) == (dns.rdatatype.A, HOST):
            self.lookups += 1
            if self.addresses:
                name = question.name
                response.answer.append(dns.rrset.from_text(name, 0, "IN", "A", *self.addresses))
        return response.to_wire()


@contextmanager
def name_server(*addresses: str) -> Iterator[NameServer]:
    """One that is running."""
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(_POLL_S)
        server = NameServer(sock.getsockname()[1], list(addresses))

        def serve() -> None:
            while not over.is_set():
                try:
                    query, client = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                sock.sendto(server.answer(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()
