"""Compares decoding on a trained model with other engines, for docs/benchmarks/decode.md.

    python -m benchmarks.decode.trained [--extracts] VERSION CORPUS

VERSION is a version of a T5 that the pipeline pushed, CORPUS the folder of its corpus. Its
weights are exported in each of our ways, and written for transformers and CTranslate2; all of
them summarise the same held-out documents in turns, alone and by eight.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.command import DOCS, earlier_results, end_by_exception, output_folder
from benchmarks.decode.cases import Shape
from benchmarks.decode.engines import Engine, engines_of_trained
from benchmarks.decode.measuring import start_engines
from benchmarks.decode.pages import RESULTS_FILE, earlier_trained, write_pages
from benchmarks.decode.pushed_version import held_out_rows, open_pushed
from benchmarks.decode.results import Results
from benchmarks.decode.subject import BUILD
from benchmarks.decode.trained_measuring import batches_of, measure_batches
from benchmarks.decode.trained_results import Summarised, TrainedResults
from benchmarks.decode.trained_sections import DEMO, EXTRACTS
from benchmarks.decode.trained_subject import make_trained
from benchmarks.environment import busy_share, machine, most, usable_cores, warn_if_busy
from benchmarks.peers import ENGINES

QUICK_BATCHES: Final = {1: 8, 8: 2}  # by number of rows


def main() -> None:
    """Measure, and write the page."""
    arguments = _arguments()
    end_by_exception()
    output = output_folder(arguments, BUILD)
    results = earlier_results(arguments, output / RESULTS_FILE, Results.load, Results())
    section = EXTRACTS if arguments.extracts else DEMO
    engines = [
        engine
        for engine in engines_of_trained(arguments.draft_tokens)
        if not arguments.engine or engine.name in arguments.engine
    ]
    trained = earlier_trained(arguments, output)
    measured = measure_version(
        arguments.version,
        arguments.corpus,
        engines,
        directory=BUILD.absolute() / "trained",
        peers=ENGINES.python(arguments.peers),
        threads=arguments.threads,
        batches=QUICK_BATCHES if arguments.quick else dict(section.batches),
    )
    measured.save(output / section.results)
    write_pages(output, results, {**trained, section: measured})


def measure_version(
    version: Path,
    corpus: Path,
    engines: list[Engine],
    *,
    directory: Path,
    peers: Path,
    threads: int,
    batches: dict[int, int],
) -> TrainedResults:
    """Measure engines on a version.

    Args:
      version: its folder.
      corpus: the folder of its corpus.
      engines: that take turns.
      directory: of `make_trained`; logs go there, too.
      peers: Python of the peers' environment.
      threads: that each engine computes with.
      batches: how many at most, by number of rows.

    Raises:
      SystemExit: the version's model is not a T5 as transformers knows it, or the corpus has
        too few held-out documents.
    """
    checkpoint, architecture = open_pushed(version)
    documents = max(rows * count for rows, count in batches.items())
    held_out = [
        [*architecture.prefix_ids, *row, architecture.eos_id]
        for row in held_out_rows(corpus, checkpoint, architecture, documents)
    ]
    by_size = {size: batches_of(held_out, size, count) for size, count in batches.items()}
    needs_peers = any(engine.of_peers for engine in engines)
    subject = make_trained(version, directory, peers if needs_peers else None)
    shape: Shape = subject.shape
    before = machine()
    found, busy = [], []
    with ExitStack() as stack:
        started = start_engines(
            stack, engines, shape, directory=directory, peers=peers, threads=threads
        )
        unavailable = {name: Summarised(failure=why) for name, why in started.failures.items()}
        for size, of_size in by_size.items():
            busy.append(busy_share())  # all engines are stopped now
            warn_if_busy(busy[-1])
            measured = measure_batches(started.workers, of_size, architecture.max_output_tokens)
            found.append(measured.with_engines(unavailable))
            print(f"{shape.name}: {size} at a time measured", flush=True)
    return TrainedResults(
        name=shape.name,
        family=shape.family,
        model=shape.config,
        weights=subject.weights,
        max_input_tokens=architecture.max_input_tokens,
        max_output_tokens=architecture.max_output_tokens,
        no_repeat_ngram_size=shape.no_repeat_ngram_size,
        decoding=subject.decoding,
        machine=before,
        threads=threads,
        busy=most(busy),
        engines=started.said,
        batches=tuple(found),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode.trained")
    parser.description = __doc__
    parser.add_argument("version", type=Path)
    parser.add_argument("corpus", type=Path)
    ENGINES.add_option(parser)
    parser.add_argument(
        "--draft-tokens",
        type=int,
        nargs="+",
        default=[3],
        help="drafted ids of each of our exports, besides none; `python -m "
        "benchmarks.decode.drafts` finds the best number; default: 3",
    )
    parser.add_argument(
        "--extracts",
        action="store_true",
        help="the version's summaries copy: write the section on that",
    )
    parser.add_argument("--engine", action="append", help="only this one; may be repeated")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each engine")
    parser.add_argument(
        "--quick", action="store_true", help=f"a few batches, written to {BUILD / 'quick'}"
    )
    parser.add_argument("--output", type=Path, help=f"folder; default: {DOCS}")
    parser.set_defaults(render=False)  # `python -m benchmarks.decode --render` makes the page
    return parser.parse_args()


if __name__ == "__main__":
    main()
