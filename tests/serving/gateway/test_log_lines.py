"""A line of a process's log: where it goes, and what it does not quote."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from serving.gateway.ops.logs import configure_logs, described

SECRET = "xyzzy-plugh"


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Gives this process its own logs back."""
    root = logging.getLogger()
    handlers, level, ours = root.handlers, root.level, logging.getLogger("serving").level
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name in ("pipelines", "serving", "tokenizer"):
        logging.getLogger(name).setLevel(ours)


@pytest.fixture
def log(as_it_was: None) -> io.StringIO:
    """This process's own log, as a gateway writes it, for as long as a test runs."""
    stream = io.StringIO()
    configure_logs("debug", stream)
    return stream


def test_a_line_goes_to_what_standard_error_is_by_then(
    as_it_was: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs a command in its own process gives it one, and takes it away again."""
    before, after = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", before)
    configure_logs("info")
    before.close()
    monkeypatch.setattr(sys, "stderr", after)
    logging.getLogger("serving.gateway.test").info("here")
    assert [json.loads(line)["event"] for line in after.getvalue().splitlines()] == ["here"]


def test_of_a_librarys_log_the_authors_words_are_kept(log: io.StringIO) -> None:
    library = logging.getLogger("some.library")
    library.warning("cannot read %s", SECRET)
    library.info("reading")
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error
    except ValueError:
        library.exception("it failed with %r", SECRET)
    library.error(ValueError(SECRET))
    logging.getLogger("serving.gateway.test").info("%d of %s", 1, "ours")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    said = [(line["event"], line["level"]) for line in lines]
    assert said == [
        ("cannot read %s", "warning"),
        ("it failed with %r", "error"),
        ("ValueError", "error"),
        ("1 of ours", "info"),
    ]
    assert SECRET not in log.getvalue()
    assert [each["type"] for each in lines[1]["exception"]] == [
        "builtins.ValueError",
        "builtins.KeyError",
    ]


def test_what_a_lost_task_died_of_is_not_quoted(log: io.StringIO) -> None:
    async def lost() -> None:
        raise ValueError(SECRET)

    async def work() -> None:
        task = asyncio.ensure_future(lost())
        await asyncio.sleep(0)
        del task

    asyncio.run(work())
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert line["event"] == "Task exception was never retrieved"
    assert line["exception"][0]["type"] == "builtins.ValueError"
    assert SECRET not in log.getvalue()


def test_a_chain_of_causes_is_bounded() -> None:
    error: Exception = ValueError("0")
    for number in range(100):
        try:
            raise ValueError(str(number)) from error
        except ValueError as raised:
            error = raised
    assert len(described(error)) == 5
    assert described(None) == []


def test_no_such_level() -> None:
    with pytest.raises(ValueError, match=r"one of debug, .*\. Received: 'loud'"):
        configure_logs("loud")
