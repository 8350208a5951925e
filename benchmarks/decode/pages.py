"""What both commands of this benchmark write: the page, and the picture in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.command import write_page
from benchmarks.decode.page import render
from benchmarks.decode.plot import draw
from benchmarks.decode.results import Results
from benchmarks.decode.trained_page import render_trained
from benchmarks.decode.trained_results import TrainedResults

RESULTS_FILE: Final = "decode.json"
TRAINED_FILE: Final = "decode-trained.json"
_PLOT: Final = "decode.svg"
_COMMAND: Final = "make bench-decode"
_COMMAND_OF_TRAINED: Final = "make bench-trained"


def write_pages(output: Path, results: Results, trained: TrainedResults | None) -> None:
    """Write ``decode.md`` of what was measured, with the picture, and print its path.

    Args:
      output: the folder; the results are in it as JSON.
      results: on random weights; may be of no shape.
      trained: on a trained model, if that was measured.
    """
    files, sections = [], []
    if results.shapes:
        draw(results, output / _PLOT)
        files += [_PLOT, RESULTS_FILE]
        sections.append(
            render(results, plot=_PLOT, command=_COMMAND, trained=trained is not None)
        )
    if trained:
        files.append(TRAINED_FILE)
        sections.append(render_trained(trained, command=_COMMAND_OF_TRAINED))
    write_page(output / "decode.md", "\n".join(sections), *files)
