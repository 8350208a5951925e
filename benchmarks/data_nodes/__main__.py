"""Measures the nodes that read a corpus; writes docs/benchmarks/data-nodes.{md,json}."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import markdown
from benchmarks.command import (
    add_corpus_option,
    add_docs_option,
    end_by_exception,
    read_results,
    write_page,
    write_results,
)
from benchmarks.data_nodes.corpus import write_corpus
from benchmarks.environment import busy_share, machine, usable_cores, warn_if_busy

BUILD: Final = Path("build/benchmarks/data-nodes")
# In the order of the pipeline. TokenizerTrainer is the one that does not run on Beam.
NODES: Final = (
    "CorpusExampleGen",
    "StatisticsGen",
    "TokenizerTrainer",
    "Transform",
    "Evaluator",
)


@dataclass(frozen=True)
class Figure:
    """What a node took, once.

    Attributes:
      rows: of the corpus.
      workers: processes of Beam's local runner.
      seconds: from the node's start to its end; the start of its process is not included.
      resident_before, resident_most: bytes; see `benchmarks.data_nodes.node.Measured`.
    """

    rows: int
    workers: int
    node: str
    seconds: float
    resident_before: int
    resident_most: int


@dataclass(frozen=True)
class Results:
    """All figures of a page.

    Attributes:
      machines: by number of rows, the machine that they were measured on, in words.
    """

    machines: dict[str, str]
    figures: list[Figure]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Results:
        return cls(values["machines"], [Figure(**each) for each in values["figures"]])


def main() -> None:
    """Measure a size; those measured before stay in the page."""
    arguments = _arguments()
    end_by_exception()
    kept = arguments.output / "data-nodes.json"
    earlier = _earlier(kept)
    warn_if_busy(busy_share())
    measured_on = str(machine())
    rows = arguments.rows
    corpus = BUILD / "corpus" / str(rows)
    shutil.rmtree(corpus, ignore_errors=True)
    write_corpus(arguments.corpus, rows, corpus)
    new = [
        each
        for workers in arguments.workers
        for each in _measure(corpus, rows, workers, arguments.nodes, _tell)
    ]
    results = Results(
        earlier.machines | {str(rows): measured_on},
        sorted(
            [each for each in earlier.figures if each.rows != rows] + new,
            key=lambda each: (each.rows, NODES.index(each.node), each.workers),
        ),
    )
    write_results(kept, asdict(results))
    write_page(arguments.output / "data-nodes.md", page(results), kept.name)


def _earlier(path: Path) -> Results:
    if not path.exists():
        return Results({}, [])
    try:
        return read_results(path, Results.from_json, advice="Delete it, and measure again")
    except ValueError as error:
        raise SystemExit(str(error)) from None


def _measure(
    corpus: Path,
    rows: int,
    workers: int,
    nodes: Iterable[str],
    tell: Callable[[Figure], None],
) -> Iterable[Figure]:
    """Each node in a process of its own, so that none is charged for another's memory."""
    run = BUILD / f"{rows}-{workers}"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    for node in nodes:
        result = run / f"{node}.json"
        log = run / f"{node}.log"
        options = (
            f"--corpus={corpus}/pairs-*.jsonl",
            f"--output={run}",
            f"--node={node}",
            f"--workers={workers}",
            f"--result={result}",
        )
        with log.open("w", encoding="utf-8") as output:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.data_nodes.node", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if ended.returncode:
            raise SystemExit(f"{node} failed with {workers} workers: see {log}")
        figure = Figure(rows, workers, node, **json.loads(result.read_text(encoding="utf-8")))
        tell(figure)
        yield figure


def _tell(figure: Figure) -> None:
    print(
        f"{figure.rows:,} rows, {figure.workers} workers, {figure.node}: "
        f"{figure.seconds:.1f} s, {figure.resident_most / 1e9:.2f} GB",
        flush=True,
    )


def page(results: Results) -> str:
    """The page of all figures, in Markdown."""
    sizes = sorted({each.rows for each in results.figures})
    text = (
        markdown.head("Data nodes", "make bench-data-nodes ROWS=...")
        + ". The pairs of the docstring "
        "corpus are repeated, each time with another mark behind the document, until there are "
        "enough. Each node of the pipeline that reads the corpus runs in a process of its own; "
        "the nodes before it have run. Workers are processes of Beam's runner on one machine; "
        "one worker is the node's own process. Memory is the most that all processes of the "
        "node together were seen to hold resident; what they held before it began, libraries "
        "above all, is included, and shown beside it. Each figure is of one run. "
        "TokenizerTrainer does not run on Beam, and Evaluator takes a sample of a fixed size.\n"
    )
    for rows in sizes:
        figures = [each for each in results.figures if each.rows == rows]
        cells = [
            (
                each.node,
                each.workers,
                f"{each.seconds:.1f} s",
                f"{each.resident_most / 1e9:.2f} GB",
                f"{each.resident_before / 1e9:.2f} GB",
            )
            for each in figures
        ]
        text += f"\n## {rows:,} rows\n\n"
        text += markdown.table(("node", "workers", "time", "memory", "before it"), cells)
        text += f"\n{results.machines[str(rows)]}.\n"
    return text


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_nodes", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=sorted({1, usable_cores()}),
        help="numbers of worker processes; default: 1 and one for each core",
    )
    parser.add_argument("--nodes", nargs="+", choices=NODES, default=NODES)
    add_corpus_option(parser)
    add_docs_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
