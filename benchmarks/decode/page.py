"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import markdown
from benchmarks.decode.engines import (
    CT2_FLOAT32,
    CT2_INT8,
    INT8,
    OURS,
    REFERENCE,
    TRANSFORMERS,
    XLA,
)
from benchmarks.decode.results import Measured, Results, ShapeResults
from benchmarks.decode.trained_sections import TrainedSection
from benchmarks.environment import others_took
from benchmarks.timings import median_with_range, ratio_of_turns

_HEAD = """# Decoding

Time to summarise a batch, including the encoder, from ids to ids: our exported graph in
TensorFlow's C++ session, as TF Serving runs it, against other engines with the same weights and
inputs.

![median times]({plot})

**How it is measured.** Each engine runs in a separate process and times its own calls. All
engines are loaded for a shape and take turns: each is called once in every round, and the order
rotates by one from round to round; the first round is not counted. A process is stopped while
it is not its turn, so that a thread pool that spins while it waits takes no time from the
others. All engines use the same number of threads and decode greedily. Every row has as many
ids as the table says, including special ids, so nothing is padded; every engine writes as many
ids as the table says.

**What is measured.** Random weights in the sizes of T5-small and BART-base, saved by
transformers; our side reads them as `model.init_from` does, CTranslate2 with its converter,
like any checkpoint. Plain random weights repeat one id, and their decisions are so close that
we would decide most rows twice: if rounding could decide, the output of a row is read again by
itself. A trained model has one such row in a few hundred, and it costs a step or two in
addition. These weights are made so that no decision is that close and each output has
{distinct} different ids: [how](../../benchmarks/decode/weights.py). The outputs do not copy
from their input, and nothing is drafted here (`export.draft_tokens = 0`).{trained}

"Faster" is the other engine's time divided by ours, as the median over rounds of the ratio
within each round: above 1, ours is faster. "Equal ids" is the share of ids that equal those of
{reference} at the same positions; in int8 an engine computes a different function.
"""

_TRAINED = """ Models that were trained, on documents: """
DISTINCT = "32 or more"
# An engine of ours, and the one that it is compared with.
_PAIRS = (
    (OURS, TRANSFORMERS),
    (OURS, CT2_FLOAT32),
    (OURS, CT2_INT8),
    (XLA, CT2_FLOAT32),
    (INT8, CT2_INT8),
)


def render(
    results: Results, *, plot: str, command: str, trained: Sequence[TrainedSection] = ()
) -> str:
    """The page, in Markdown.

    Args:
      results: of all shapes that were measured.
      plot: name of the picture beside the page.
      command: that measures again.
      trained: sections that follow.
    """
    links = ", ".join(f"[{each.title.lower()}](#{each.anchor})" for each in trained)
    head = _HEAD.format(
        plot=plot,
        distinct=DISTINCT,
        reference=REFERENCE,
        trained=f"{_TRAINED}{links}." if trained else "",
    )
    shapes = (_shape(name, shape) for name, shape in results.shapes.items())
    return "\n".join([head, *shapes, f"To measure again: `{command}`.\n"])


def _shape(name: str, shape: ShapeResults) -> str:
    engines = list(shape.engines)
    parts = [f"## {name}\n"]
    parts.append(
        f"Milliseconds, median (least-most) of {_rounds(shape)} rounds, {shape.threads} "
        f"threads. {shape.machine}. {others_took(shape.busy)}\n"
    )
    parts.append(markdown.table(("batch, ids in → out", *engines), _times(shape)))
    pairs = [pair for pair in _PAIRS if set(pair) <= set(engines)]
    titles = (f"{ours}, faster than {other}" for ours, other in pairs)
    header = ("batch, ids in → out", *titles)
    parts.append(markdown.table(header, _ratios(shape, pairs)))
    compared = [each for each in engines if each != REFERENCE]
    parts.append(
        markdown.table(
            ("batch, ids in → out", *(f"equal ids, {each}" for each in compared)),
            _equal(shape, compared),
        )
    )
    parts.append("".join(f"- {name}: {about}.\n" for name, about in shape.engines.items()))
    failures = list(_failures(shape))
    if failures:
        parts.append("Failed:\n\n" + "".join(failures))
    return "\n".join(parts)


def _rounds(shape: ShapeResults) -> str:
    counts = sorted(
        {
            (case.batch, len(each.seconds))
            for case, engines in shape.points.items()
            for each in engines.values()
            if each.seconds
        }
    )
    return " and ".join(f"{count} (batch {batch})" for batch, count in counts)


def _points(shape: ShapeResults) -> Iterator[tuple[str, dict[str, Measured]]]:
    for case, engines in shape.points.items():
        yield f"{case.batch}, {case.ids_in} → {case.ids_out}", engines


def _times(shape: ShapeResults) -> Iterator[tuple[str, ...]]:
    for label, engines in _points(shape):
        cells = (
            median_with_range(each.seconds, 1e3) if each.seconds else "failed"
            for each in engines.values()
        )
        yield label, *cells


def _ratios(shape: ShapeResults, pairs: list[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    for label, engines in _points(shape):
        cells = (
            f"{ratio_of_turns(engines[other].seconds, engines[ours].seconds):.2f}"
            if engines[ours].seconds and engines[other].seconds
            else "failed"
            for ours, other in pairs
        )
        yield label, *cells


def _equal(shape: ShapeResults, compared: list[str]) -> Iterator[tuple[str, ...]]:
    for label, engines in _points(shape):
        shares = (engines[each].equal_ids for each in compared)
        yield label, *("not known" if each is None else f"{each:.1%}" for each in shares)


def _failures(shape: ShapeResults) -> Iterator[str]:
    for label, engines in _points(shape):
        for name, each in engines.items():
            if each.failure:
                yield f"- {name} at {label}: {each.failure}\n"
