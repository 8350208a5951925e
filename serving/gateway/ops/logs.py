"""Logs: one JSON object a line, and nothing in them that a client would not want read.

No text, no summary, no key. What this project logs says so itself; of what libraries log only
the words that their authors wrote are kept, not the values put into them; and of an exception
its types and where it came from, not its message, which may quote what it choked on.
"""

from __future__ import annotations

import datetime
import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import orjson

LEVELS: Final = ("debug", "info", "warning", "error")
_OURS: Final = frozenset({"pipelines", "serving", "tokenizer"})
_MAX_CAUSES: Final = 5
_MAX_FRAMES: Final = 30
_FIELDS: Final = "tallygraph_fields"


class StructuredLogger:
    """Says events with fields, as far as `logging` lets it."""

    def __init__(self, name: str) -> None:
        """
        Args:
          name: of the module.
        """
        self._logger = logging.getLogger(name)

    def say(self, level: int, event: str, **fields: Any) -> None:
        """
        Args:
          level: `logging`'s.
          fields: values that may be read by whoever reads the log.
        """
        if self._logger.isEnabledFor(level):
            told = {_FIELDS: fields}
            name = self._logger.name
            record = self._logger.makeRecord(name, level, "", 0, event, (), None, extra=told)
            self._logger.handle(record)


def configure_logs(level: str, stream: IO[str] | None = None) -> None:
    """Write the logs of this process as JSON lines.

    Args:
      level: of this project's own, one of `LEVELS`; libraries' are kept from warnings on, for
        below that some tell what passes through them.
      stream: None for standard error.

    Raises:
      ValueError: the level is none.
    """
    if level not in LEVELS:
        raise ValueError(
            f"The log level must be one of {', '.join(LEVELS)}. Received: {level!r}"
        )
    handler = logging.StreamHandler(stream) if stream else _ToStandardError()
    handler.setFormatter(_JsonLines())
    # No line says which thread or process it is of: it need not be found out for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def described(error: BaseException | None) -> list[dict[str, Any]]:
    """An exception and what caused it: types and places, no messages."""
    found: list[dict[str, Any]] = []
    while error is not None and len(found) < _MAX_CAUSES:
        kind = type(error)
        found.append(
            {
                "type": f"{kind.__module__}.{kind.__qualname__}",
                "frames": _frames(error.__traceback__)[-_MAX_FRAMES:],
            }
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        # The last parts of the path tell the module; all of it would tell the machine.
        place = "/".join(Path(code.co_filename).parts[-3:])
        frames.append(f"{place}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames


class _ToStandardError(logging.StreamHandler[Any]):
    """Writes to what standard error is at the time: a test has another one than the next."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, stream: Any) -> None:
        """`logging` sets it once, to what it is anyway."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] | None = getattr(record, _FIELDS, None)
        said = _without_values(record) if fields is None else {**fields, "event": record.msg}
        said["level"] = record.levelname.lower()
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        said["timestamp"] = f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        return orjson.dumps(said, default=str).decode()


def _without_values(record: logging.LogRecord) -> dict[str, Any]:
    """What `logging` was told, without what a library may have put into it."""
    said: dict[str, Any] = {"logger": record.name}
    if record.name.partition(".")[0] in _OURS:
        said["event"] = record.getMessage()
    elif isinstance(record.msg, BaseException):
        # The system's own words (a port is taken) quote no client.
        known = isinstance(record.msg, OSError)
        said["event"] = str(record.msg) if known else type(record.msg).__name__
    else:
        # asyncio adds what it was about in further lines.
        said["event"] = str(record.msg).partition("\n")[0]
    if record.exc_info:
        said["exception"] = described(record.exc_info[1])
    return said
