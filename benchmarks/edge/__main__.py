"""Compares a version's LiteRT files with its SavedModel on held-out documents, one at a time.

    python -m benchmarks.edge VERSION CORPUS

VERSION is a version that the pipeline pushed, CORPUS the folder of its corpus. A version that
searches with beams is compared with its own weights, exported greedily. Writes
docs/benchmarks/edge.{md,json}. Exit code 1 where in float32 the ids of a document differ though
no decision was too close for rounding, or where an input count is not the version's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks import markdown
from benchmarks.command import add_docs_option, write_page, write_results
from benchmarks.decode.pushed_version import EVAL_FILES
from benchmarks.edge.subjects import Subject, subjects
from benchmarks.environment import Machine, machine
from pipelines.edge.runtime import EdgeSummarizer
from pipelines.evaluation.scores import Scorer
from tokenizer.contract import SIGNATURE_COUNT_TOKENS

QUICK: Final = 64
_WARM_UP: Final = 3


@dataclass(frozen=True)
class Figures:
    """How a subject compares with the first one.

    Attributes:
      size: bytes.
      median_ms, p90_ms: of a document's ids in to ids out.
      equal: documents with the very same ids.
      in_doubt: of the others, those with a decision too close for rounding.
      rouge_l: mean F1 against the references.
    """

    name: str
    size: int
    median_ms: float
    p90_ms: float
    equal: int
    in_doubt: int
    rouge_l: float


def main() -> int:
    arguments = _arguments()
    measured_on = machine()
    most = QUICK if arguments.quick else None
    rows = [
        json.loads(line)
        for file in sorted(arguments.corpus.glob(EVAL_FILES))
        for line in islice(file.read_text(encoding="utf-8").splitlines(), most)
    ]
    if not rows:
        raise SystemExit(f"{arguments.corpus} has no document in {EVAL_FILES}")
    with tempfile.TemporaryDirectory() as directory:
        compared, summarizer = subjects(arguments.version, Path(directory))
        documents = [summarizer.tokenizer.encode(row["document"]) for row in rows]
        miscounted = _miscounted(arguments.version, rows, documents, summarizer)
        figures = _measure(compared, documents, [row["summary"] for row in rows], summarizer)
        record = summarizer.record
    write_results(
        arguments.output / "edge.json",
        {
            "machine": measured_on.to_json(),
            "documents": len(rows),
            "miscounted": miscounted,
            "record": asdict(record),
            "figures": [asdict(each) for each in figures],
        },
    )
    page = _page(figures, len(rows), miscounted, summarizer, measured_on)
    write_page(arguments.output / "edge.md", page, "edge.json")
    different = len(rows) - figures[1].equal - figures[1].in_doubt
    print(
        f"{len(rows)} held-out documents: {figures[1].equal} answers in float32 are the same "
        f"ids, {figures[1].in_doubt} differ where two scores were all but equal, {different} "
        f"differ otherwise; {miscounted} have another input count"
    )
    return 1 if different or miscounted else 0


def _miscounted(
    version: Path,
    rows: Sequence[dict[str, Any]],
    documents: Sequence[list[int]],
    summarizer: EdgeSummarizer,
) -> int:
    """Documents whose input counts are not those of the version's own signature."""
    signature = tf.saved_model.load(str(version)).signatures[SIGNATURE_COUNT_TOKENS]
    counted = signature(text=tf.constant([row["document"] for row in rows]))
    expected = np.stack(
        [counted["input_tokens"].numpy(), counted["truncated_tokens"].numpy()], axis=1
    )
    nothing = np.full(summarizer.record.max_output_tokens, summarizer.record.pad_id, np.int32)
    answers = [summarizer.count(ids, nothing, 0) for ids in documents]
    found = np.array([(each.input_tokens, each.truncated_tokens) for each in answers])
    return int((found != expected).any(axis=1).sum())


def _measure(
    compared: Sequence[Subject],
    documents: Sequence[list[int]],
    references: Sequence[str],
    summarizer: EdgeSummarizer,
) -> list[Figures]:
    """Run every document with each subject, one after the other."""
    for subject in compared:
        for ids in documents[:_WARM_UP]:
            subject.generate(ids)
    took_ms: list[list[float]] = [[] for _ in compared]
    answers: list[list[tuple[list[int], bool]]] = [[] for _ in compared]
    for ids in documents:
        for times, written, subject in zip(took_ms, answers, compared, strict=True):
            began = time.perf_counter()
            answer = subject.generate(ids)
            times.append(1000 * (time.perf_counter() - began))
            written.append(answer)
    scorer = Scorer("english")
    figures = []
    for subject, times, written in zip(compared, took_ms, answers, strict=True):
        pairs = list(zip(written, answers[0], strict=True))
        summaries = [_text(ids, summarizer) for ids, _ in written]
        rouge = [
            scorer.rouge(reference, summary)[2]
            for reference, summary in zip(references, summaries, strict=True)
        ]
        figures.append(
            Figures(
                name=subject.name,
                size=subject.size,
                median_ms=statistics.median(times),
                p90_ms=float(np.percentile(times, 90)),
                equal=sum(own[0] == other[0] for own, other in pairs),
                in_doubt=sum(own[0] != other[0] and own[1] for own, other in pairs),
                rouge_l=statistics.fmean(rouge),
            )
        )
    return figures


def _text(ids: list[int], summarizer: EdgeSummarizer) -> str:
    return summarizer.count([], np.array(ids, np.int32), 0).summary


def _page(
    figures: Sequence[Figures],
    documents: int,
    miscounted: int,
    summarizer: EdgeSummarizer,
    measured_on: Machine,
) -> str:
    record = summarizer.record
    rows = [
        (
            each.name,
            f"{each.size / 1e6:.1f} MB",
            f"{each.median_ms:.1f} ms",
            f"{each.p90_ms:.1f} ms",
            f"{each.equal} of {documents}",
            f"{each.rouge_l:.4f}",
        )
        for each in figures
    ]
    header = ("", "size", "median", "90th percentile", "same ids", "ROUGE-L")
    beams = (
        f" The version itself searches with {record.num_beams_of_version} beams: here its "
        "weights are decoded greedily by all."
        if record.num_beams_of_version > 1
        else ""
    )
    return (
        markdown.head("A version as a LiteRT file", "make bench-edge")
        + ". One version's weights ("
        f"{record.model_family.upper()}, at most {record.max_input_tokens} tokens in and "
        f"{record.max_output_tokens} out), run by TensorFlow from a SavedModel with all cores, "
        "and by LiteRT with one thread from the [files](../how-to/phone.md) of `tallygraph "
        f"export litert`, on a computer and not on a phone.{beams} Held-out documents are "
        "summarised one at a time, ids in to ids out; tokenizing is not part of the times. A "
        "file's size includes its tokenizer; the SavedModel's does not include the weights "
        "that are stored beside it for training.\n\n"
        + markdown.table(header, rows)
        + f"\nIn float32, {figures[1].in_doubt} documents with other ids had a decision that "
        "was too close for rounding. Input counts that differ from the version's: "
        f"{miscounted}.\n"
        f"\n{measured_on}. TensorFlow {tf.__version__}.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("version", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument(
        "--quick", action="store_true", help=f"at most {QUICK} documents of each file"
    )
    add_docs_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
