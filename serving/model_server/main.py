"""``tallygraph-model-server``: the command line of the local replacement for TensorFlow
Serving."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import signal
import sys
import threading
import time
from typing import Any, Final

from serving.model_server.flags import ServerFlags, parse_flags

_LOG = logging.getLogger(__name__)

# Keras, which comes with TensorFlow, imports them where they are installed, to draw and to show
# things. No server does, and they are a third of its start.
_UNUSED: Final = ("IPython", "matplotlib", "pandas", "sklearn")
_THREADS_END_WITHIN_S: Final = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Run the model server until it receives SIGTERM or SIGINT.

    Args:
      arguments: the command line without the program's name; None for the process's own.

    Returns:
      The exit status: 0 after SIGTERM or SIGINT, 1 if it could not start. Invalid flags end the
      process with status 2.
    """
    flags = parse_flags(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname).1s %(name)s] %(message)s",
    )
    if flags.version:
        print_version()
        return 0
    if flags.exit_with_process:
        _end_with(flags.exit_with_process)
    prepare()  # only now: TensorFlow takes seconds, and flags come first
    return _run(flags)


def prepare() -> None:
    """Configure what TensorFlow leaves out; call it before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # deprecations say nothing here
    absent: dict[str, Any] = dict.fromkeys(_UNUSED)
    sys.modules.update(absent)


def _end_with(process: int) -> None:
    """End this process as by SIGTERM when another is gone: no server outlives its starter."""

    def watch() -> None:
        while _exists(process):
            time.sleep(0.5)
        _LOG.info("Process %d has ended", process)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="exit-with-process", daemon=True).start()


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # as another user's
    return True


def print_version() -> None:
    print(f"Tallygraph ModelServer: {importlib.metadata.version('tallygraph')}")
    print(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")


def _run(flags: ServerFlags) -> int:
    from serving.model_server.errors import ServingError
    from serving.model_server.server import ModelServer

    if flags.without_effect:
        _LOG.info(
            "Flags that have no effect on this server: %s",
            ", ".join(f"--{name}" for name in flags.without_effect),
        )

    async def serve() -> None:
        await ModelServer(flags).run()

    status = 0
    try:
        asyncio.run(serve())
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        status = 1
    _end_in_spite_of_threads(status)
    return status


def _end_in_spite_of_threads(status: int) -> None:
    """End the process now if it would wait for a load or a computation, which cannot be
    interrupted."""
    deadline = time.monotonic() + _THREADS_END_WITHIN_S
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            logging.shutdown()
            os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
