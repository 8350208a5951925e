"""Measures what metering costs and writes docs/benchmarks/metering.md."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from benchmarks import markdown
from benchmarks.command import DOCS, add_corpus_option, write_page
from benchmarks.corpus import documents
from benchmarks.environment import Machine, machine, usable_cores
from benchmarks.metering.measuring import LOADS, Times, measure
from benchmarks.models import DEMO, T5_SMALL, save_models, save_transform_graph
from benchmarks.timings import median_interval
from tokenizer.training import train_sentencepiece

HEADER = (
    "model",
    "batch",
    "base, ms",
    "metered, ms",
    "metered / base",
    "base again / base",
    "pairs",
)
_TEXTS = 2_000  # to train the vocabulary and to ask for
# Pairs of calls, by batch size.
_REPETITIONS = {DEMO: {1: 1200, 8: 600}, T5_SMALL: {1: 90, 8: 30}}


def main() -> None:
    arguments = _arguments()
    measured_on = machine()
    texts = documents(arguments.corpus, _TEXTS)
    tokenizer = train_sentencepiece(texts, arguments.vocab_size)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        transform_graph = save_transform_graph(tokenizer, Path(directory))
        for number, (size, by_batch) in enumerate(_REPETITIONS.items()):
            own = Path(directory) / str(number)
            base, metered = save_models(size, tokenizer, transform_graph, own)
            for batch, repetitions in by_batch.items():
                times = measure(
                    base,
                    metered,
                    texts,
                    batch=batch,
                    repetitions=max(repetitions // arguments.divide, 2 * LOADS),
                    threads=arguments.threads,
                )
                rows.append(_row(f"{size.name} size", batch, times))
                print(*rows[-1], sep="  ", flush=True)
    write_page(arguments.output, _page(rows, measured_on, arguments.threads))


def _row(name: str, batch: int, times: Times) -> tuple[object, ...]:
    return (
        name,
        batch,
        f"{statistics.median(times.base) * 1e3:.2f}",
        f"{statistics.median(times.metered) * 1e3:.2f}",
        _ratio(times.ratios(times.metered)),
        _ratio(times.ratios(times.again)),
        len(times.base),
    )


def _ratio(ratios: list[float]) -> str:
    interval = median_interval(ratios)
    return f"{interval.median:.4f} ({interval.low:.4f}-{interval.high:.4f})"


def _page(rows: list[tuple[object, ...]], measured_on: Machine, threads: int) -> str:
    return (
        markdown.head("What metering costs", "make bench-metering")
        + ". The base signature (text to summary and ids) and the "
        "metered one (the six outputs of the counting contract) of the same model, as Exporter "
        "and Meter export them, in TensorFlow's C++ session as TF Serving runs it. Texts are "
        "documents of the docstring corpus; weights are random, so every summary is as long as "
        "the limit. It is checked that both signatures give the same summaries and counts.\n\n"
        "A pair is one call of each on the same texts, one after the other, in rotating order. "
        "The ratio is the median over pairs of metered divided by base, with its "
        'distribution-free 95 % interval. "Base again" is the base SavedModel loaded a second '
        "time and called in the same turns: it shows the measurement error. All are loaded "
        f"again {LOADS} times.\n\n"
        + markdown.table(HEADER, rows)
        + f"\n{threads} threads. {measured_on}. TensorFlow {tf.__version__}.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metering", description=__doc__)
    add_corpus_option(parser)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--divide", type=int, default=1, help="fewer pairs, by this factor")
    parser.add_argument("--output", type=Path, default=DOCS / "metering.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
