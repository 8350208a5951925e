"""Logs: one JSON object a line, and nothing in them that a client would not want read.

No text, no summary, no key. What this project logs says so itself; of what libraries log only
the words that their authors wrote are kept, not the values put into them; and of an exception
its types and where it came from, not its message, which may quote what it choked on.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import orjson
import structlog

LEVELS: Final = ("debug", "info", "warning", "error")
_OURS: Final = frozenset({"pipelines", "serving", "tokenizer"})
_MAX_CAUSES: Final = 5
_MAX_FRAMES: Final = 30


def structured_logger(name: str) -> Any:
    """A logger of structlog's that says what `logging` lets it: events with fields."""
    return structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )


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
        raise ValueError(f"A log level is one of {', '.join(LEVELS)}. Received: {level!r}")
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_without_values],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        # `_without_values` puts a message together, where it may.
        use_get_message=False,
        pass_foreign_args=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
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


def _without_values(_: Any, __: str, event: Any) -> Any:
    """What `logging` was told, without what a library may have put into it."""
    record: logging.LogRecord = event["_record"]
    arguments = event.pop("positional_args", ())
    event["logger"] = record.name
    if record.name.partition(".")[0] in _OURS:
        event["event"] = str(record.msg) % arguments if arguments else str(record.msg)
    elif isinstance(record.msg, BaseException):
        # The system's own words (a port is taken) quote no client.
        known = isinstance(record.msg, OSError)
        event["event"] = str(record.msg) if known else type(record.msg).__name__
    else:
        # asyncio adds what it was about in further lines.
        event["event"] = str(record.msg).partition("\n")[0]
    if (exc_info := event.pop("exc_info", None)) and exc_info is not True:
        event["exception"] = described(exc_info[1])
    event.pop("stack_info", None)
    return event


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
