"""Opens the windows that a URL names; Redis' client is imported only for a Redis."""

from __future__ import annotations

from typing import Final

from serving.gateway.windows import MemoryWindows, Windows

MEMORY: Final = "async+memory://"
REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")


class WindowsSettingError(ValueError):
    """A place where amounts cannot be counted; the message says what is expected."""


def open_windows(url: str) -> Windows:
    """The windows that a URL names.

    Args:
      url: ``async+memory://``, or a Redis: ``redis://host:6379``, also as ``async+redis://…``.

    Raises:
      WindowsSettingError: there are none such.
    """
    if url.startswith(MEMORY):
        return MemoryWindows()
    address = url.removeprefix("async+")
    if address.startswith(REDIS_SCHEMES):
        from serving.gateway.redis_windows import RedisWindows

        try:
            return RedisWindows(address)
        except ValueError:
            pass  # its message may quote a password
    raise WindowsSettingError(
        f"The storage of rates is not valid. Expected: {MEMORY}, or redis://host:port for "
        f"several gateways. Received: one that begins with {url.partition(':')[0]!r}."
    )
