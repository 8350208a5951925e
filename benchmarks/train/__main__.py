"""``python -m benchmarks.train``: writes docs/benchmarks/train.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.command import (
    DOCS,
    add_corpus_option,
    end_by_exception,
    read_results,
    write_page,
    write_results,
)
from benchmarks.environment import machine, usable_cores
from benchmarks.peers import ENGINES
from benchmarks.train.job import SHAPES, Shape, training_job, write_batches, write_examples
from benchmarks.train.measure import Result, in_turns, ours, plain_torch
from benchmarks.train.table import render

_BATCH_SIZE = 16


def main() -> None:
    """Measure the shapes asked for; those measured before stay in the page."""
    arguments = _arguments()
    end_by_exception()
    peers = ENGINES.python(arguments.peers)
    if not (arguments.corpus / "train.jsonl").exists():
        tallygraph = str(Path(sys.executable).with_name("tallygraph"))
        command = [tallygraph, "corpus", "docstrings", "--output", str(arguments.corpus)]
        subprocess.run(command, check=True)
    kept = DOCS / "train.json"
    results = _kept_results(kept)
    with tempfile.TemporaryDirectory() as directory:
        vocabulary_size = write_examples(arguments.corpus, Path(directory))
        for number in arguments.shapes:
            shape = SHAPES[number]
            results = [each for each in results if each.shape != shape.name]
            results += _measure(shape, Path(directory), vocabulary_size, peers, arguments)
    write_results(kept, [asdict(each) for each in results])
    page = render(
        results,
        environment=_environment(peers),
        command="make bench-train",
        batch_size=_BATCH_SIZE,
        threads=arguments.threads,
        rounds=arguments.rounds,
        steps=arguments.steps,
    )
    write_page(DOCS / "train.md", page, "train.json")


def _kept_results(path: Path) -> list[Result]:
    if not path.exists():
        return []
    try:
        return read_results(
            path,
            lambda rows: [Result.from_json(row) for row in rows],
            advice="Delete it, and measure all shapes again",
        )
    except ValueError as error:
        raise SystemExit(str(error)) from None


def _measure(
    shape: Shape,
    directory: Path,
    vocabulary_size: int,
    peers: Path,
    arguments: argparse.Namespace,
) -> list[Result]:
    job = training_job(shape, vocabulary_size, directory, batch_size=_BATCH_SIZE)
    files = {padding: directory / f"{padding}.npz" for padding in ("bucketed", "plain")}
    for padding, file in files.items():
        write_batches(job, arguments.steps * (arguments.rounds + 1), file, padding)
    threads = arguments.threads
    with ExitStack() as stack:
        sides = [
            stack.enter_context(
                closing(ours(shape, directory, vocabulary_size, threads, precision))
            )
            for precision in ("bfloat16", "float32")
        ]
        for padding, precision in (
            ("bucketed", "float32"),
            ("bucketed", "bfloat16"),
            ("plain", "float32"),
        ):
            side = plain_torch(
                peers, shape, files[padding], vocabulary_size, threads, precision
            )
            sides.append(stack.enter_context(closing(side)))
        return in_turns(sides, shape, _BATCH_SIZE, arguments.steps, arguments.rounds)


def _environment(peers: Path) -> str:
    names = "import torch, transformers; print(torch.__version__, transformers.__version__)"
    torch, transformers = subprocess.run(
        [str(peers), "-c", names], check=True, capture_output=True, text=True
    ).stdout.split()
    here = machine()
    bfloat16 = {"avx512_bf16", "amx_bf16"} & {*here.features}
    return (
        f"{here.processor}, {'with' if bfloat16 else 'without'} bfloat16 products, "
        f"{here.cores} cores; TensorFlow {version('tensorflow')}, Keras {version('keras')}, "
        f"PyTorch {torch}, transformers {transformers}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    ENGINES.add_option(parser)
    add_corpus_option(parser)
    parser.add_argument("--shapes", type=int, nargs="*", default=range(len(SHAPES)))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--steps", type=int, default=60, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
