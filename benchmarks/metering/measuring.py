"""Times pairs of calls: the metered signature and the base signature on the same texts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.session import SignatureRunner
from benchmarks.timings import moved_on
from tokenizer import contract

# Loaded anew so often: where a model's weights happen to lie in memory moves its time by more
# than what is measured here.
LOADS = 4
_WARM_UP = 5


@dataclass(frozen=True)
class Times:
    """Seconds of calls that took turns.

    Attributes:
      base: of the base signature.
      again: of the same SavedModel, loaded a second time: the error of the measurement.
      metered: of the metered signature.
    """

    base: tuple[float, ...]
    again: tuple[float, ...]
    metered: tuple[float, ...]

    def ratios(self, to_base: Sequence[float]) -> list[float]:
        """Time over the base signature's, of each turn."""
        return [other / base for other, base in zip(to_base, self.base, strict=True)]


def measure(
    base_dir: Path,
    metered_dir: Path,
    texts: Sequence[str],
    *,
    batch: int,
    repetitions: int,
    threads: int,
) -> Times:
    """Time both signatures on batches of texts.

    Args:
      base_dir, metered_dir: the SavedModels.
      texts: of which each turn has the next batch, the same for all.
      batch: texts of a call.
      repetitions: turns in all.
      threads: that a session computes with.

    Raises:
      AssertionError: the signatures give different summaries or counts.
    """
    batches = itertools.cycle(
        [texts[i : i + batch] for i in range(0, len(texts) - batch + 1, batch)]
    )
    seconds: dict[str, list[float]] = {"base": [], "again": [], "metered": []}
    for load in range(LOADS):
        directories = {"base": base_dir, "again": base_dir, "metered": metered_dir}
        # Who is loaded first moves on, too.
        names = moved_on(list(directories), load)
        runners = {name: SignatureRunner(directories[name], threads=threads) for name in names}
        for _ in range(_WARM_UP):
            some = next(batches)
            check_equal(runners["base"](text=some), runners["metered"](text=some))
            runners["again"](text=some)
        for turn in range(repetitions // LOADS):
            some = next(batches)
            for name in moved_on(names, turn):
                seconds[name].append(_seconds(runners[name], some))
        for runner in runners.values():
            runner.close()
    return Times(**{name: tuple(values) for name, values in seconds.items()})


def check_equal(base: dict[str, np.ndarray], metered: dict[str, np.ndarray]) -> None:
    """Hold the metered answer to the base model's: both have done the same work.

    Raises:
      AssertionError: they differ.
    """
    written = (base["output_ids"] != 0).sum(axis=1)
    for name, wanted in (
        (contract.SUMMARY, base["summary"]),
        (contract.INPUT_TOKENS, base["input_length"]),
        (contract.OUTPUT_TOKENS, written),
    ):
        if metered[name].tolist() != wanted.tolist():
            raise AssertionError(
                f"{name} differs between the signatures. Expected: the base model's, "
                f"{wanted.tolist()!r:.200}. Received: {metered[name].tolist()!r:.200}"
            )


def _seconds(run: Callable[..., object], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    run(text=texts)
    return time.perf_counter() - started
