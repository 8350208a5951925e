"""``python -m benchmarks.train``: writes docs/benchmarks/train.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import add_peers_option, peers_python
from benchmarks.train.job import SHAPES, Shape, training_job, write_batches, write_examples
from benchmarks.train.measure import Result, in_turns, ours, plain_torch
from benchmarks.train.table import render

_DOCS = Path("docs/benchmarks")
_BATCH_SIZE = 16


def main() -> None:
    """Measure the shapes asked for; those measured before stay in the page."""
    arguments = _arguments()
    peers = peers_python(arguments.peers)
    if not (arguments.corpus / "train.jsonl").exists():
        tallygraph = str(Path(sys.executable).with_name("tallygraph"))
        command = [tallygraph, "corpus", "docstrings", "--output", str(arguments.corpus)]
        subprocess.run(command, check=True)
    kept = _DOCS / "train.json"
    results = (
        [Result.from_json(row) for row in json.loads(kept.read_text())] if kept.exists() else []
    )
    with tempfile.TemporaryDirectory() as directory:
        vocabulary_size = write_examples(arguments.corpus, Path(directory))
        for number in arguments.shapes:
            shape = SHAPES[number]
            results = [each for each in results if each.shape != shape.name]
            results += _measure(shape, Path(directory), vocabulary_size, peers, arguments)
    _DOCS.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
    page = render(
        results,
        environment=_environment(peers),
        command="make bench-train",
        batch_size=_BATCH_SIZE,
        threads=arguments.threads,
        rounds=arguments.rounds,
        steps=arguments.steps,
    )
    (_DOCS / "train.md").write_text(page, encoding="utf-8")
    print(page)


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
    sides = [
        ours(shape, directory, vocabulary_size, threads, precision)
        for precision in ("bfloat16", "float32")
    ]
    sides += [
        plain_torch(peers, shape, files[padding], vocabulary_size, threads, precision)
        for padding, precision in (
            ("bucketed", "float32"),
            ("bucketed", "bfloat16"),
            ("plain", "float32"),
        )
    ]
    try:
        return in_turns(sides, shape, _BATCH_SIZE, arguments.steps, arguments.rounds)
    finally:
        for side in sides:
            side.close()


def _environment(peers: Path) -> str:
    names = "import torch, transformers; print(torch.__version__, transformers.__version__)"
    torch, transformers = subprocess.run(
        [str(peers), "-c", names], check=True, capture_output=True, text=True
    ).stdout.split()
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        lines = info.read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
        bfloat16 = any("avx512_bf16" in x or "amx_bf16" in x for x in lines)
        cpu += ", with bfloat16 products" if bfloat16 else ", without bfloat16 products"
    return (
        f"{cpu}, {os.cpu_count()} cores; TensorFlow {version('tensorflow')}, Keras "
        f"{version('keras')}, PyTorch {torch}, transformers {transformers}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    add_peers_option(parser)
    parser.add_argument("--corpus", type=Path, default=Path("build/corpus/docstrings"))
    parser.add_argument("--shapes", type=int, nargs="*", default=range(len(SHAPES)))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=60, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
