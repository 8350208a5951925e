"""The engines that are compared, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode.engine_loop import Job
from benchmarks.worker import Worker

OURS = "tallygraph"
XLA = "tallygraph XLA"
INT8 = "tallygraph int8"
TRANSFORMERS = "transformers"
CT2_FLOAT32 = "CTranslate2 float32"
CT2_INT8 = "CTranslate2 int8"
# Whose ids the others' are compared with: the implementation that the weights come from.
REFERENCE = TRANSFORMERS
# On a trained model.
DRAFTS = "{}, {} drafts"  # an engine of ours, and how many
LOOKUP = "transformers, prompt lookup"
LOOKUP_TOKENS = 3


@dataclass(frozen=True)
class Engine:
    """An engine that can be started.

    Attributes:
      name: in the tables.
      module: that serves it, of `benchmarks.decode`.
      variant: see the module.
      of_peers: whether it runs in the peers' environment.
    """

    name: str
    module: str
    variant: str = ""
    of_peers: bool = False

    def start(self, job: Job, peers: Path, log: Path) -> Worker:
        """Start it; see `Worker` for the errors."""
        python = peers if self.of_peers else sys.executable
        module = f"benchmarks.decode.{self.module}"
        return Worker(self.name, [python, "-m", module, *job.arguments()], log)


def all_engines() -> list[Engine]:
    """Every engine that this release has, ours first."""
    from benchmarks.decode.engine_tallygraph import has_xla_variant

    ours = [Engine(OURS, "engine_tallygraph", "default")]
    if has_xla_variant():
        ours.append(Engine(XLA, "engine_tallygraph", "xla"))
        ours.append(Engine(INT8, "engine_tallygraph", "int8"))
    return [
        *ours,
        Engine("keras-hub", "engine_keras_hub", "default"),
        Engine("keras-hub jitted", "engine_keras_hub", "jitted"),
        Engine(TRANSFORMERS, "engine_transformers", of_peers=True),
        Engine(CT2_FLOAT32, "engine_ctranslate2", "float32", of_peers=True),
        Engine(CT2_INT8, "engine_ctranslate2", "int8", of_peers=True),
    ]


def engines_of_trained(drafts: Sequence[int]) -> list[Engine]:
    """The engines that are compared on a trained model, the default export first.

    Args:
      drafts: numbers of drafted ids, each of which is measured in each of our exports.
    """
    ours = []
    for name, kind in ((OURS, "default"), (XLA, "xla"), (INT8, "int8")):
        ours.append(Engine(name, "engine_tallygraph", f"{kind}-0"))
        for each in drafts:
            drafting = DRAFTS.format(name, each)
            ours.append(Engine(drafting, "engine_tallygraph", f"{kind}-{each}"))
    return [
        *ours,
        Engine(TRANSFORMERS, "engine_transformers", of_peers=True),
        Engine(LOOKUP, "engine_transformers", str(LOOKUP_TOKENS), of_peers=True),
        Engine(CT2_FLOAT32, "engine_ctranslate2", "float32", of_peers=True),
        Engine(CT2_INT8, "engine_ctranslate2", "int8", of_peers=True),
    ]
