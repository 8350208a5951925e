"""A worker's side: answers the requests of `benchmarks.worker`, one a line.

Imports the standard library alone, as it runs in the peers' environment, too.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def serve(
    prepare: Callable[[], tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]],
) -> None:
    """Answer until standard input ends.

    Args:
      prepare: loads what is needed; returns what to say when ready, and what turns a request
        into an answer. An exception of the latter is the answer ``{"error": ...}``.
    """
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(values: dict[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        ready, answer = prepare()
    except Exception as error:
        traceback.print_exc()
        say({"error": reason(error)})
        return
    say(ready)
    for line in sys.stdin:
        try:
            result = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            result = {"error": reason(error)}
        say(result)


def reason(error: BaseException) -> str:
    """An exception in one line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:300]}"
