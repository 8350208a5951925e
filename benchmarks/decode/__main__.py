"""Measures how fast summaries are written; writes docs/benchmarks/decode.{md,svg,json}."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.decode.cases import CASES, SHAPES, Case
from benchmarks.decode.engines import all_engines
from benchmarks.decode.measuring import measure_shape
from benchmarks.decode.page import render
from benchmarks.decode.plot import draw
from benchmarks.decode.results import Results
from benchmarks.decode.subject import make_subject
from benchmarks.environment import usable_cores
from benchmarks.peers import add_peers_option, peers_python

ROUNDS = {1: 7, 8: 5}  # by batch size
QUICK_ROUNDS = {1: 3, 8: 2}
QUICK_CASES = (Case(1, 128, 32), Case(8, 512, 32))
BUILD = Path("build/benchmarks/decode")


def main() -> None:
    arguments = _arguments()
    # As an exception, so that the engines' processes are ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    output: Path = arguments.output or (BUILD / "quick" if arguments.quick else _DOCS)
    kept = output / "decode.json"
    try:
        # A quick run is for trying out: what an earlier one found is of no use to it.
        fresh = arguments.quick and not arguments.render
        results = Results() if fresh else Results.load(kept)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if not arguments.render:
        _measure(arguments, results, kept)
    if not results.shapes:
        raise SystemExit(f"{kept} holds no results. Measure first: leave --render out")
    draw(results, output / "decode.svg")
    page = render(results, plot="decode.svg", command="make bench-decode")
    (output / "decode.md").write_text(page, encoding="utf-8")
    print(f"written: {output}/decode.md, decode.svg, decode.json")


def _measure(arguments: argparse.Namespace, results: Results, kept: Path) -> None:
    peers = peers_python(arguments.peers)
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


_DOCS = Path("docs/benchmarks")


def _rounds(text: str) -> dict[int, int]:
    return dict.fromkeys(ROUNDS, int(text))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=__doc__)
    add_peers_option(parser)
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
    parser.add_argument(
        "--quick", action="store_true", help=f"a few points, written to {BUILD / 'quick'}"
    )
    parser.add_argument(
        "--render", action="store_true", help="make page and plot anew, without measuring"
    )
    parser.add_argument("--output", type=Path, help=f"folder; default: {_DOCS}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
