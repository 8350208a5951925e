"""Where the implementations are that this project is compared with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

VARIABLE = "TALLYGRAPH_PEERS"
DEFAULT = Path(".toolchain/peers/bin/python")


def add_peers_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers``."""
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get(VARIABLE) or DEFAULT),
        help="Python of an environment with transformers on PyTorch and CTranslate2; "
        f"default: ${VARIABLE}, or {DEFAULT}, which scripts/peers.sh makes",
    )


def peers_python(path: Path) -> Path:
    """The interpreter, absolute.

    Raises:
      SystemExit: there is none.
    """
    if not path.is_file():
        raise SystemExit(
            f"{path} does not exist. Expected: Python of an environment with transformers on "
            "PyTorch and CTranslate2. Make one by scripts/peers.sh, or name it by --peers or "
            f"the variable {VARIABLE}"
        )
    # Not resolved: an environment is told by its own link to the interpreter.
    return path.absolute()
