"""Measures the local model server; writes docs/benchmarks/serve.{md,svg,json}."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks.command import (
    add_corpus_option,
    add_output_options,
    earlier_results,
    end_by_exception,
    output_folder,
    write_page,
)
from benchmarks.corpus import documents
from benchmarks.environment import usable_cores
from benchmarks.serve.closed_loop import Load
from benchmarks.serve.measuring import measure_batching, measure_throughput
from benchmarks.serve.page import render
from benchmarks.serve.plot import draw
from benchmarks.serve.results import Results
from benchmarks.serve.subject import FIXTURE, NAMES, SUMMARIZER, make_subject

# Turns of a second, longer where a call takes a good part of that.
THROUGHPUT = {
    SUMMARIZER: (Load(1, 1, 1.0), Load(1, 4, 1.0), Load(32, 1, 2.0), Load(32, 4, 2.0)),
    FIXTURE: (Load(1, 1, 1.0), Load(1, 4, 1.0), Load(32, 1, 1.0), Load(32, 4, 1.0)),
}
QUICK_THROUGHPUT = (Load(1, 4, 0.5),)
BATCHING = tuple(Load(1, clients, 4.0) for clients in (1, 2, 4, 8, 16, 32, 64))
QUICK_BATCHING = (Load(1, 1, 0.5), Load(1, 16, 0.5))
ROUNDS = 5
BATCHING_ROUNDS = 2
QUICK_ROUNDS = 2
PARTS = ("batching", *NAMES)
BUILD = Path("build/benchmarks/serve")
_TEXTS = 2_000  # to train the vocabulary and to ask for


def main() -> None:
    arguments = _arguments()
    end_by_exception()
    output = output_folder(arguments, BUILD)
    kept = output / "serve.json"
    results = earlier_results(arguments, kept, Results.load, Results())
    if not arguments.render:
        _measure(arguments, results, kept)
    if not results.throughput and results.batching is None:
        raise SystemExit(f"{kept} holds no results. Measure first: leave --render out")
    if results.batching is not None:
        draw(results.batching, output / "serve.svg")
    page = render(results, plot="serve.svg", command="make bench-serve")
    write_page(output / "serve.md", page, "serve.json", "serve.svg (of the batching)")


def _measure(arguments: argparse.Namespace, results: Results, kept: Path) -> None:
    quick = arguments.quick
    texts = documents(arguments.corpus, _TEXTS)
    parts = arguments.part or PARTS
    with tempfile.TemporaryDirectory() as directory:
        asked = Path(directory) / "texts.json"
        asked.write_text(json.dumps(texts), encoding="utf-8")
        common = {"texts": asked, "logs": BUILD / "logs", "threads": arguments.threads}
        # The summariser's own part and the one with many clients are measured on one model.
        needed = [SUMMARIZER if part == "batching" else part for part in parts]
        subjects = {
            name: make_subject(name, texts, Path(directory) / name) for name in {*needed}
        }
        for name in NAMES:
            if name not in parts:
                continue
            print(f"{name}: against calls in process", flush=True)
            results.throughput[name] = measure_throughput(
                subjects[name],
                QUICK_THROUGHPUT if quick else THROUGHPUT[name],
                rounds=arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS),
                **common,
            )
            # Part by part, so that one that fails does not take the others' time with it.
            results.save(kept)
        if "batching" in parts:
            print("many clients", flush=True)
            results.batching = measure_batching(
                subjects[SUMMARIZER],
                QUICK_BATCHING if quick else BATCHING,
                rounds=arguments.rounds or BATCHING_ROUNDS,
                batching=not arguments.no_batching,
                **common,
            )
            results.save(kept)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    add_corpus_option(parser)
    parser.add_argument(
        "--part",
        action="append",
        choices=PARTS,
        help="measure this one and keep what is known of the others; may be repeated",
    )
    parser.add_argument(
        "--no-batching", action="store_true", help="leave out the server that batches"
    )
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="of TensorFlow, on both sides"
    )
    parser.add_argument("--rounds", type=int, help="turns of each way to ask at a point")
    add_output_options(parser, BUILD, quick="a few points", render="page and plot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
