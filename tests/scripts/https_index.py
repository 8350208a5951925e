"""A package index with one package, behind a certificate that no machine trusts."""

from __future__ import annotations

import datetime
import functools
import hashlib
import http.server
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WHEEL = "tiny-1-py3-none-any.whl"


class HttpsIndex:
    """Serves from a folder, and notes what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "authority.pem"  # who trusts it trusts the index
        self.asked: list[str] = []
        self._folder = folder / "index"
        (self._folder / "simple" / "tiny").mkdir(parents=True)
        self.sha256 = _make_wheel(self._folder / "simple" / "tiny" / WHEEL)
        self._identity = folder / "identity.pem"
        _make_certificates(self.authority, self._identity)
        self._port = 0

    @property
    def simple(self) -> str:
        return f"https://localhost:{self._port}/simple"

    @property
    def wheel(self) -> str:
        return f"{self.simple}/tiny/{WHEEL}"

    @contextmanager
    def served(self) -> Iterator[HttpsIndex]:
        handler = functools.partial(_Handler, self.asked, directory=str(self._folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._identity)
            # A handshake is made by the thread of its connection: one that fails ends no other.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            self._port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], *args: Any, **options: Any) -> None:
        self._asked = asked
        super().__init__(*args, **options)

    def handle(self) -> None:
        try:
            super().handle()
        except (ssl.SSLError, ConnectionError):
            self.close_connection = True  # who does not trust the certificate hangs up

    def finish(self) -> None:
        try:
            super().finish()
        except (ssl.SSLError, ConnectionError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        self._asked.append(self.path)


def _make_wheel(path: Path) -> str:
    files = {
        "tiny.py": "",
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    files["tiny-1.dist-info/RECORD"] = "".join(
        f"{name},,\n" for name in [*files, "tiny-1.dist-info/RECORD"]
    )
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _make_certificates(authority: Path, identity: Path) -> None:
    """An authority, as a proxy has one, and the certificate that it makes for localhost."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A proxy's authority")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    own_address = x509.DNSName("localhost")
    own_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    of_authority = (
        _certificate(name, authority_key.public_key())
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    own = (
        _certificate(own_name, key.public_key())
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([own_address]), critical=False)
        .add_extension(own_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    authority.write_bytes(of_authority.public_bytes(pem))
    identity.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + own.public_bytes(pem)
    )


def _certificate(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
