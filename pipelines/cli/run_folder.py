"""The folders of a run: made before it starts, and used by one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from typing import Final

from pipelines.cli.console import EXIT_BAD_INPUT, fail
from pipelines.layout import OutputLayout

_SPECIAL: Final = frozenset("[]*?")


@contextlib.contextmanager
def folders_of_one_run(layout: OutputLayout) -> Iterator[None]:
    """Create a run's folders, and keep other runs of the pipeline out while the block lasts.

    Two runs of one pipeline would write one metadata file and one training folder. The system
    frees the lock when its holder dies. Problems end the command with an error message.
    """
    if special := sorted(_SPECIAL & set(str(layout.output))):
        fail(
            f"The output folder {layout.output} has {' '.join(special)} in its path. TFX takes "
            "the paths of its files for patterns, in which these stand for others. Use an "
            "--output without them.",
            EXIT_BAD_INPUT,
        )
    try:
        layout.create()
        lock = layout.lock_file.open("a")
    except OSError as error:
        fail(
            f"Cannot write into the output folder {layout.output}: {error}. Expected: a folder "
            "that can be created and written, with room on its disk. Use --output for another "
            "one.",
            EXIT_BAD_INPUT,
        )
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(
                f"Another run of the pipeline {layout.pipeline_name} is writing into "
                f"{layout.output}. Wait until it has ended, or use another --output or "
                "pipeline.name."
            )
        yield
