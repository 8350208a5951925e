"""The environments of the implementations that this project is compared with."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Peers:
    """A Python environment with peers, which is no part of the project.

    Attributes:
      variable: of the environment, that may name its Python.
      default: its Python otherwise.
      script: that makes it there.
      holds: what is installed in it.
    """

    variable: str
    default: Path
    script: str
    holds: str

    def add_option(self, parser: argparse.ArgumentParser) -> None:
        """Add ``--peers``."""
        parser.add_argument(
            "--peers",
            type=Path,
            default=Path(os.environ.get(self.variable) or self.default),
            help=f"Python of an environment with {self.holds}; default: ${self.variable}, or "
            f"{self.default}, which {self.script} makes",
        )

    @property
    def expected(self) -> str:
        """Return the message for a missing environment."""
        return (
            f"Expected: Python of an environment with {self.holds}. Make one by {self.script}, "
            f"or name it by --peers or the variable {self.variable}"
        )

    def python(self, path: Path) -> Path:
        """The interpreter, absolute.

        Raises:
          SystemExit: there is none.
        """
        if not path.is_file():
            raise SystemExit(f"{path} does not exist. {self.expected}")
        # Not resolved: an environment is told by its own link to the interpreter.
        return path.absolute()


ENGINES: Final = Peers(
    variable="TALLYGRAPH_PEERS",
    default=Path(".toolchain/peers/bin/python"),
    script="scripts/peers.sh",
    holds="transformers on PyTorch and CTranslate2",
)
GATEWAYS: Final = Peers(
    variable="TALLYGRAPH_GATEWAY_PEERS",
    default=Path(".toolchain/gateway-peers/bin/python"),
    script="scripts/gateway_peers.sh",
    holds="litellm[proxy]",
)
