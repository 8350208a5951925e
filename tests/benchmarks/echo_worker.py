"""A worker that obeys: for the tests of `benchmarks.worker`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from benchmarks.worker_loop import serve


def _spin() -> None:
    while True:
        pass


def prepare() -> tuple[dict[str, object], Callable[[object], dict[str, object]]]:
    print("a library's greeting")
    if "refuse" in sys.argv:
        raise OSError("no model here\nsecond line")
    if "spin" in sys.argv:
        threading.Thread(target=_spin, daemon=True).start()

    def answer(request: object) -> dict[str, object]:
        print("a library's remark")
        if request == "fail":
            raise ValueError("cannot do that")
        if request == "die":
            print("killed by its own hand", file=sys.stderr, flush=True)
            os._exit(7)
        if request == "cpu":
            return {"cpu_seconds": time.process_time()}
        return {"echo": request, "prefix": "PYTHONHASHSEED" in os.environ}

    return {"pid": os.getpid()}, answer


if __name__ == "__main__":
    serve(prepare)
