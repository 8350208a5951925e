"""What pushed versions say that a server must be started with: XLA, and for which batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from serving.engines.base import XLA_FLAGS, EngineError
from serving.engines.server_files import Batching
from tokenizer.contract import ContractError, MeteringRecord

COMPILE_S: Final = 30.0
"""What one shape may take to compile before a version is AVAILABLE; a GPU takes half of it."""


@dataclass(frozen=True)
class CompiledVersions:
    """The versions of a model that XLA compiles.

    Attributes:
      rows: numbers of rows that the newest of them is compiled for, rising; empty where none is
        compiled, which a stock server runs.
      shapes: of all of them.
    """

    rows: tuple[int, ...] = ()
    shapes: int = 0

    @classmethod
    def of(cls, model_dir: Path) -> Self:
        """Look at the records of a model's versions; one without a record needs nothing."""
        records = []
        for path in model_dir.glob("[0-9]*"):
            try:
                records.append((int(path.name), MeteringRecord.load(path)))
            except (ContractError, ValueError):
                continue
        compiled = [record for _, record in sorted(records, key=_number) if record.xla_rows]
        if not compiled:
            return cls()
        shapes = sum(len(each.xla_rows) * len(each.xla_widths) for each in compiled)
        return cls(compiled[-1].xla_rows, shapes)

    def flags(self) -> Mapping[str, str]:
        """The server's flags for them."""
        return XLA_FLAGS if self.rows else {}

    def batching(self, wanted: Batching) -> Batching:
        """Batching whose batches have the sizes that are compiled.

        Raises:
          EngineError: the largest batch wanted is not one of them.
        """
        if not self.rows:
            return wanted
        if wanted.max_batch_size not in self.rows:
            raise EngineError(
                "the newest compiled version is compiled for other batches. Expected: a "
                f"max_batch_size of {', '.join(map(str, self.rows))} (export.row_buckets). "
                f"Received: {wanted.max_batch_size}"
            )
        sizes = tuple(size for size in self.rows if size <= wanted.max_batch_size)
        return replace(wanted, allowed_batch_sizes=sizes)

    def patience_s(self, timeout_s: float) -> float:
        """A wait for AVAILABLE that leaves time to compile."""
        return timeout_s + COMPILE_S * self.shapes


def _number(version: tuple[int, MeteringRecord]) -> int:
    return version[0]
