"""Authenticates entries and anchors with a key, so that nobody without it can forge them.

HMAC-SHA256 (RFC 2104), written as ``<key id>:<code>``, both in hex. The key's id is a hash of
the key: it says which key was used, and nothing about it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from serving.ledger.errors import LedgerError

MIN_KEY_BYTES: Final = 32
_ID_DIGITS: Final = 16
_ENTRY: Final = "tallygraph entry\n"
_ANCHOR: Final = "tallygraph anchor\n"


class KeyFileError(LedgerError):
    """The file of a key cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """A key.

    Attributes:
      secret: at least `MIN_KEY_BYTES`.
    """

    secret: bytes = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> LedgerKey:
        """Read a key from a file: its bytes, without white space at both ends.

        Raises:
          KeyFileError: it cannot be read, or is too short.
        """
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise KeyFileError(f"Cannot read the ledger's key: {error}") from None
        if len(secret) < MIN_KEY_BYTES:
            raise KeyFileError(
                f"The ledger's key in {path} must have at least {MIN_KEY_BYTES} bytes. "
                f"Received: {len(secret)}. Make one: openssl rand -hex 32"
            )
        return cls(secret)

    @property
    def id(self) -> str:
        return hashlib.sha256(b"tallygraph key\n" + self.secret).hexdigest()[:_ID_DIGITS]

    def of_entry(self, entry_hash: str) -> str:
        """The code of an entry, which its hash stands for."""
        return self._code(_ENTRY + entry_hash)

    def of_anchor(self, text: str) -> str:
        """The code of an anchor's text."""
        return self._code(_ANCHOR + text)

    def _code(self, text: str) -> str:
        code = hmac.new(self.secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{self.id}:{code.hexdigest()}"


def wrong_entry_code(keys: Sequence[LedgerKey], entry_hash: str, code: str) -> str:
    """What is wrong with an entry's code; empty where it is one of a key's."""
    return _wrong(code, {key.id: key.of_entry(entry_hash) for key in keys})


def wrong_anchor_code(keys: Sequence[LedgerKey], text: str, code: str) -> str:
    """What is wrong with an anchor's code; empty where it is one of a key's."""
    return _wrong(code, {key.id: key.of_anchor(text) for key in keys})


def _wrong(code: str, expected: dict[str, str]) -> str:
    key_id = code.partition(":")[0]
    if key_id not in expected:
        return f"is authenticated with the key {key_id[:_ID_DIGITS]!r}, which was not given"
    if not hmac.compare_digest(code.encode(), expected[key_id].encode()):
        return "was forged: its authentication code does not match"
    return ""
