"""Who may use the admin API: bearer tokens from a file."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MIN_CHARACTERS: Final = 32
_UNNAMED: Final = "admin"
_MAX_NAME: Final = 100


class AdminTokenError(ValueError):
    """The file of tokens cannot be used; the message says why, and never quotes it."""


@dataclass(frozen=True, slots=True)
class AdminTokens:
    """Tokens, as hashes, and whose they are.

    Attributes:
      names: of administrators, by the SHA-256 of their tokens.
    """

    names: dict[bytes, str] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> AdminTokens:
        """Read a file with a token on each line, after the name of its holder and a space, or
        alone.

        Raises:
          AdminTokenError: it cannot be read, has no token, or one that is too short, or a name
            that cannot be printed.
        """
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise AdminTokenError(f"Cannot read the admin tokens {path}: {reason}") from None
        names: dict[bytes, str] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            name, _, token = line.strip().rpartition(" ")
            name = name.strip()
            if len(token) < MIN_CHARACTERS or not token.isascii():
                raise AdminTokenError(
                    f"{path}, line {number}: a token must have at least {MIN_CHARACTERS} ASCII "
                    f"characters. Received: {len(token)}. Make one: openssl rand -hex 32"
                )
            if len(name) > _MAX_NAME or not name.isprintable():
                raise AdminTokenError(
                    f"{path}, line {number}: the name before a token must be at most "
                    f"{_MAX_NAME} characters that can be printed."
                )
            names[_hash(token)] = name or _UNNAMED
        if not names:
            raise AdminTokenError(
                f"{path} has no token. Expected: one on each line, after a name and a space or "
                "alone. Make one: openssl rand -hex 32"
            )
        return cls(names)

    def holder(self, token: str) -> str | None:
        """Whose token it is; None for nobody's. It takes as long for one as for another."""
        given, found = _hash(token), None
        for known, name in self.names.items():
            if hmac.compare_digest(known, given):
                found = name
        return found


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
