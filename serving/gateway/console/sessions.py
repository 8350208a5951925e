"""Who has signed in: signed cookies, so that every gateway with the same tokens knows them.

A session is what its cookie says, and nothing is kept of it while it lasts. It ends when it is
too old or has not been used for a while, when the file of admin tokens is another one, when its
token or key is not accepted any more, and when its holder signs out: that is kept in the
database for as long as the cookie could be used, see
`serving.gateway.administration.ended_sessions`. A cookie names its holder and is no secret of
his: neither a token nor a key can be found from it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from serving.gateway.admin.tokens import AdminTokens
from serving.gateway.administration.key_holders import KeyHolder
from serving.ledger.clock import Clock, utc_now

COOKIE: Final = "tallygraph_console"
PATH: Final = "/console"
MAX_AGE_S: Final = 8 * 3600
"""A session ends so long after its beginning."""
IDLE_S: Final = 3600
"""And so long after it was used last."""
_RENEW_S: Final = 60
_CLOCKS_DIFFER_S: Final = 3600
_MAX_COOKIE: Final = 2048


@dataclass(frozen=True, slots=True)
class Session:
    """
    Attributes:
      nonce: random; its forms are bound to it.
      began, seen: seconds since 1970.
      admin: fingerprint of an administrator's token; empty for none.
      holder: of a tenant's key; None for none. Neither: nobody has signed in.
    """

    nonce: str
    began: int
    seen: int
    admin: str = ""
    holder: KeyHolder | None = None

    @property
    def over_at(self) -> datetime:
        """When no gateway takes it any more, however far its clock is behind; UTC."""
        seconds = self.began + MAX_AGE_S + _CLOCKS_DIFFER_S
        return datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(seconds=seconds)


class Sessions:
    """Makes and reads sessions."""

    def __init__(self, tokens: AdminTokens | None, clock: Clock = utc_now) -> None:
        """
        Args:
          tokens: of administrators; None: nobody is one, and sessions end with the process.
          clock: UTC.
        """
        self._names = {fingerprint(each): name for each, name in _names(tokens).items()}
        # Whoever knows no token knows no hash of one; a change of the file ends all sessions.
        known = b"".join(sorted(_names(tokens))) or secrets.token_bytes(32)
        self._key = hmac.digest(b"tallygraph console", known, "sha256")
        self._clock = clock

    def begin(self, admin: str = "", holder: KeyHolder | None = None) -> Session:
        """A new session, with a nonce of its own."""
        now = self._now()
        return Session(secrets.token_urlsafe(16), now, now, admin, holder)

    def read(self, cookie: str | None) -> Session | None:
        """What a cookie says; None where it is none of ours, or is over."""
        if not cookie or len(cookie) > _MAX_COOKIE or not cookie.isascii():
            return None
        content, _, signature = cookie.partition(".")
        if not hmac.compare_digest(self._signature("session", content), signature):
            return None
        try:
            said = orjson.loads(base64.urlsafe_b64decode(content))
        except (binascii.Error, ValueError):
            return None
        holder = said.pop("holder")
        session = Session(**said, holder=KeyHolder(**holder) if holder else None)
        now = self._now()
        over = now >= session.began + MAX_AGE_S or now >= session.seen + IDLE_S
        return None if over else session

    def cookie(self, session: Session) -> str:
        """The cookie's value."""
        content = base64.urlsafe_b64encode(orjson.dumps(asdict(session))).decode()
        return f"{content}.{self._signature('session', content)}"

    def renewed(self, session: Session) -> Session:
        """The session, used now; the same one where it was used a moment ago."""
        now = self._now()
        return session if now < session.seen + _RENEW_S else replace(session, seen=now)

    def form_token(self, session: Session) -> str:
        """What every form of a session carries, and no other page can know."""
        return self._signature("form", session.nonce)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Whether a form is one of the session's own pages'."""
        return hmac.compare_digest(
            self.form_token(session).encode(), token.encode("utf-8", "surrogatepass")
        )

    def administrator(self, session: Session) -> str | None:
        """The name of the administrator whose session it is; None for nobody's."""
        return self._names.get(session.admin)

    def _signature(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), "sha256").hexdigest()

    def _now(self) -> int:
        return int(self._clock().replace(tzinfo=UTC).timestamp())


def fingerprint(token_hash: bytes) -> str:
    """What a session keeps of a token: a hash of its hash."""
    return hashlib.sha256(b"console" + token_hash).hexdigest()[:32]


def token_fingerprint(token: str) -> str:
    """`fingerprint` of a token that `AdminTokens` knows."""
    return fingerprint(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())


def _names(tokens: AdminTokens | None) -> dict[bytes, str]:
    return {} if tokens is None else tokens.names
