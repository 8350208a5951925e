"""Measures how fast summaries are written; writes docs/benchmarks/decode.{md,svg,json}."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.command import (
    add_output_options,
    earlier_results,
    end_by_exception,
    output_folder,
)
from benchmarks.decode.cases import CASES, SHAPES, Case
from benchmarks.decode.engines import all_engines
from benchmarks.decode.measuring import measure_shape
from benchmarks.decode.pages import RESULTS_FILE, earlier_trained, write_pages
from benchmarks.decode.results import Results
from benchmarks.decode.subject import BUILD, make_subject
from benchmarks.environment import usable_cores
from benchmarks.peers import ENGINES

ROUNDS = {1: 7, 8: 5}  # by batch size
QUICK_ROUNDS = {1: 3, 8: 2}
QUICK_CASES = (Case(1, 128, 32), Case(8, 512, 32))


def main() -> None:
    arguments = _arguments()
    end_by_exception()
    output = output_folder(arguments, BUILD)
    kept = output / RESULTS_FILE
    results = earlier_results(arguments, kept, Results.load, Results())
    trained = earlier_trained(arguments, output)
    if not arguments.render:
        _measure(arguments, results, kept)
    if not results.shapes:
        raise SystemExit(f"{kept} holds no results. Measure first: leave --render out")
    write_pages(output, results, trained)


def _measure(arguments: argparse.Namespace, results: Results, kept: Path) -> None:
    peers = ENGINES.python(arguments.peers)
    engines = [
        engine
        for engine in all_engines()
        if not arguments.engine or engine.name in arguments.engine
    ]
    quick = arguments.quick
    for name in arguments.shape or (["t5-small"] if quick else SHAPES):
        directory = make_subject(SHAPES[name], peers, BUILD)
        results.shapes[name] = measure_shape(
            SHAPES[name],
            engines,
            QUICK_CASES if quick else CASES,
            directory=directory.absolute(),
            peers=peers,
            threads=arguments.threads,
            rounds=arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS),
        )
        # Shape by shape, so that one that fails does not take the others' time with it.
        results.save(kept)


def _rounds(text: str) -> dict[int, int]:
    return dict.fromkeys(ROUNDS, int(text))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=__doc__)
    ENGINES.add_option(parser)
    parser.add_argument(
        "--shape",
        action="append",
        choices=list(SHAPES),
        help="measure this one and keep what is known of the others; may be repeated",
    )
    parser.add_argument("--engine", action="append", help="only this one; may be repeated")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each engine")
    parser.add_argument(
        "--rounds",
        type=_rounds,
        help=f"turns of each engine at a point; default, by batch size: {ROUNDS}",
    )
    add_output_options(parser, BUILD, quick="a few points", render="page and plot")
    return parser.parse_args()


if __name__ == "__main__":
    main()
