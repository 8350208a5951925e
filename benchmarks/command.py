"""Common parts of the benchmarks' commands: options, stored results, the page."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

DOCS: Final = Path("docs/benchmarks")
CORPUS: Final = Path("build/corpus/docstrings")
R = TypeVar("R")


def add_corpus_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--corpus``."""
    parser.add_argument(
        "--corpus", type=Path, default=CORPUS, help="folder of the docstring corpus"
    )


def add_docs_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--output``, of a benchmark whose every run is for the documentation."""
    parser.add_argument("--output", type=Path, default=DOCS, help=f"folder; default: {DOCS}")


def add_output_options(
    parser: argparse.ArgumentParser, build: Path, *, quick: str, render: str
) -> None:
    """Add ``--quick``, ``--render`` and ``--output``.

    Args:
      build: folder of the benchmark below ``build``.
      quick: what a quick run measures.
      render: what is made anew without measuring.
    """
    parser.add_argument(
        "--quick", action="store_true", help=f"{quick}, written to {build / 'quick'}"
    )
    parser.add_argument(
        "--render", action="store_true", help=f"make {render} anew, without measuring"
    )
    parser.add_argument("--output", type=Path, help=f"folder; default: {DOCS}")


def output_folder(arguments: argparse.Namespace, build: Path) -> Path:
    """Return the folder for page and results."""
    output: Path | None = arguments.output
    return output or (build / "quick" if arguments.quick else DOCS)


def end_by_exception() -> None:
    """Turn SIGTERM into an exception, so that the processes of a measurement are ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


def earlier_results(
    arguments: argparse.Namespace, kept: Path, load: Callable[[Path], R], nothing: R
) -> R:
    """Return the stored results that a run adds to.

    Raises:
      SystemExit: the file cannot be used.
    """
    # A quick run is for trying out: what an earlier one found is of no use to it.
    if arguments.quick and not arguments.render:
        return nothing
    try:
        return load(kept)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def read_results(path: Path, read: Callable[[Any], R], *, advice: str) -> R:
    """Read stored results.

    Args:
      read: makes the results from the content of the JSON file.
      advice: what to do if they cannot be used.

    Raises:
      ValueError: there is no such file, or another release of the benchmark wrote it.
    """
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not as this release writes it: {error!r}. {advice}"
        ) from None


def write_results(path: Path, values: Any) -> None:
    """Store results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write_page(path: Path, page: str, *others: str) -> None:
    """Write a page of the documentation, and print its path.

    Args:
      others: names of files beside it that have been written, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    print(f"written: {', '.join((str(path), *others))}")
