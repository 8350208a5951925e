"""Measures both kinds of tokenizer and writes the table to docs/benchmarks/tokenize.md."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from benchmarks import markdown
from benchmarks.command import DOCS, add_corpus_option, write_page
from benchmarks.corpus import documents
from benchmarks.environment import Machine, machine
from benchmarks.timings import median_with_range
from benchmarks.tokenize.engines import TRAINERS, engines_of
from benchmarks.tokenize.measuring import measure

# Batch size: what it stands for, and how many texts are enough to time.
POINTS = {
    1: ("serving, one text", 300),
    8: ("serving", 1_200),
    64: ("serving", 1_200),
    1000: ("Transform, Beam's largest batch", 4_000),
}
HEADER = (
    "tokenizer",
    "batch",
    "in graph, 1,000 ids/s",
    "library, 1,000 ids/s",
    "graph / library",
    "library",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenize", description=__doc__)
    add_corpus_option(parser)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--output", type=Path, default=DOCS / "tokenize.md")
    arguments = parser.parse_args()
    train = documents(arguments.corpus)
    rows: list[tuple[object, ...]] = []
    measured_on = machine()
    for kind, train_tokenizer in TRAINERS.items():
        tokenizer = train_tokenizer(train, arguments.vocab_size)
        with tempfile.TemporaryDirectory() as directory:
            engines = engines_of(tokenizer, Path(directory))
            for batch, (_, count) in POINTS.items():
                rates = measure(engines, train[:count], batch, arguments.turns)
                row = (
                    kind,
                    batch,
                    median_with_range(rates.graph, 1e-3),
                    median_with_range(rates.library, 1e-3),
                    f"{rates.ratio:.2f}",
                    engines.library,
                )
                rows.append(row)
                print(*row, sep="  ", flush=True)
    page = _page(rows, measured_on, arguments.vocab_size, arguments.turns)
    write_page(arguments.output, page)


def _page(
    rows: list[tuple[object, ...]], measured_on: Machine, vocab_size: int, turns: int
) -> str:
    points = "; ".join(f"{batch}: {meaning}" for batch, (meaning, _) in POINTS.items())
    return (
        markdown.head("Tokenizing in the graph against the libraries", "make bench-tokenize")
        + ". "
        f"Documents of the docstring corpus, vocabularies of {vocab_size:,} trained on it; "
        f"median (least-most) of {turns} turns, in each of which both engines encode all "
        "texts. The graph is a SavedModel that was saved and loaded; the library also "
        "receives whole batches, and uses as many threads as it does by default. Batches: "
        f"{points}. Every ratio is of the same turns on the same machine.\n\n{measured_on}; "
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}.\n\n"
        + markdown.table(HEADER, rows)
    )


if __name__ == "__main__":
    main()
