"""What both commands of this benchmark write: the page, and the picture in it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.command import earlier_results, write_page
from benchmarks.decode.page import render
from benchmarks.decode.plot import draw
from benchmarks.decode.results import Results
from benchmarks.decode.trained_page import render_trained
from benchmarks.decode.trained_results import TrainedResults
from benchmarks.decode.trained_sections import SECTIONS, TrainedSection

RESULTS_FILE: Final = "decode.json"
_PLOT: Final = "decode.svg"
_COMMAND: Final = "make bench-decode"


def earlier_trained(
    arguments: argparse.Namespace, output: Path
) -> dict[TrainedSection, TrainedResults | None]:
    """What a run keeps on trained models; None for a section that was not measured.

    Raises:
      SystemExit: another release of this benchmark wrote it.
    """
    return {
        section: earlier_results(arguments, output / section.results, TrainedResults.load, None)
        for section in SECTIONS
    }


def write_pages(
    output: Path,
    results: Results,
    trained: Mapping[TrainedSection, TrainedResults | None],
) -> None:
    """Write ``decode.md`` of what was measured, with the picture, and print its path.

    Args:
      output: the folder; the results are in it as JSON.
      results: on random weights; may be of no shape.
      trained: on trained models, where that was measured.
    """
    files, parts = [], []
    measured = {section: found for section, found in trained.items() if found}
    if results.shapes:
        draw(results, output / _PLOT)
        files += [_PLOT, RESULTS_FILE]
        parts.append(render(results, plot=_PLOT, command=_COMMAND, trained=list(measured)))
    for section, found in measured.items():
        files.append(section.results)
        parts.append(render_trained(found, section))
    write_page(output / "decode.md", "\n".join(parts), *files)
