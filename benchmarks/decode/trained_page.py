"""The results on a trained model as a section of the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import markdown
from benchmarks.decode.engines import (
    CT2_FLOAT32,
    CT2_INT8,
    INT8,
    LOOKUP,
    OURS,
    TRANSFORMERS,
    XLA,
)
from benchmarks.decode.trained_results import (
    COPIED_IDS,
    Batches,
    Summarised,
    TrainedResults,
)
from benchmarks.decode.trained_sections import TrainedSection
from benchmarks.environment import others_took
from benchmarks.timings import median_interval

_HEAD = """## {title}

Held-out documents, as they are: rows of different lengths, summaries that end where the model
ends them. Each batch is summarised by every engine in turns, twice; the first time is not
counted. Rows that are shorter than others of their batch are padded, as each engine does it.

**The model.** {name}, a {family} with {encoder_layers} layers in the encoder and
{decoder_layers} in the decoder, of width {width} with {heads} heads and a feed-forward of
{feed_forward}; {vocabulary:,} ids; {weights:.1f} million weights. At most {ids_in} ids in and
{ids_out} out. {about}
All engines have its weights, in a Hugging Face folder and converted from that for CTranslate2,
and decode greedily{repeats}.{decoding}

"Same ids" is the share of rows whose ids, up to EOS, are those of the default export without
drafts, in float32. "Faster" is the other engine's time divided by ours, as the median over
batches of the ratio at each batch, with its 95 % confidence interval: above 1, ours is
faster. One row at a time has drafts (`export.drafted_rows = 1`): one that came
alone, or the last that is left of a batch that gets smaller.
"""


def render_trained(results: TrainedResults, section: TrainedSection) -> str:
    """The section, in Markdown.

    Args:
      results: of the version.
      section: that they belong to.
    """
    parts = [_head(results, section)]
    counts = (f"{each.count} batches of {each.rows}" for each in results.batches)
    parts.append(
        f"Milliseconds a batch, median (90th percentile); {' and '.join(counts)}, "
        f"{results.threads} threads. {results.machine}. {others_took(results.busy)} "
        f"{_lengths(results)}\n"
    )
    engines = list(results.engines)
    titles = [_rows(each) for each in results.batches]
    header = ("engine", *titles, *(f"same ids, {title}" for title in titles))
    parts.append(markdown.table(header, (_cells(results, name) for name in engines)))
    pairs = [pair for pair in _pairs(engines) if set(pair) <= set(engines)]
    compared = ((f"{a}, faster than {b}", *_ratios(results, a, b)) for a, b in pairs)
    parts.append(markdown.table(("", *titles), compared))
    parts.append("".join(f"- {name}: {about}.\n" for name, about in results.engines.items()))
    failures = [
        f"- {name}, {_rows(batches)}: {each.failure}\n"
        for batches in results.batches
        for name, each in batches.engines.items()
        if each.failure
    ]
    if failures:
        parts.append("Failed:\n\n" + "".join(failures))
    parts.append(f"To measure again, {section.again}.\n")
    return "\n".join(parts)


def _head(results: TrainedResults, section: TrainedSection) -> str:
    model = results.model
    decoding = ""
    if results.decoding:
        own = ", ".join(f"`{name} = {value}`" for name, value in results.decoding.items())
        decoding = f" The version itself decodes with {own}: here nothing of that holds."
    repeats = ""
    if results.no_repeat_ngram_size:
        repeats = f", with `no_repeat_ngram_size = {results.no_repeat_ngram_size}`"
    return _HEAD.format(
        title=section.title,
        about=section.about,
        name=results.name[:1].upper() + results.name[1:],
        family=results.family.upper(),
        encoder_layers=model["num_layers"],
        decoder_layers=model["num_decoder_layers"],
        width=model["d_model"],
        heads=model["num_heads"],
        feed_forward=model["d_ff"],
        vocabulary=model["vocab_size"],
        weights=results.weights / 1e6,
        ids_in=results.max_input_tokens,
        ids_out=results.max_output_tokens,
        repeats=repeats,
        decoding=decoding,
    )


def _rows(batches: Batches) -> str:
    return f"{batches.rows} row{'s' if batches.rows > 1 else ''}"


def _lengths(results: TrainedResults) -> str:
    """How long documents and summaries are."""
    sentences = (
        f"{_rows(each)}: {each.ids_in:.1f} ids in"
        + (f" and {each.ids_out:.1f} out" if each.ids_out is not None else "")
        + ("" if each.copied is None else f", {each.copied:.0%} of which are copied")
        for each in results.batches
    )
    return (
        f"On average, with {'; '.join(sentences)}, special ids included; copied are sequences "
        f"of {COPIED_IDS} ids that are in the document, too."
    )


def _pairs(engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """An engine of ours, and the one that it is compared with."""
    for ours, others in (
        (OURS, (TRANSFORMERS, CT2_FLOAT32)),
        (XLA, (CT2_FLOAT32,)),
        (INT8, (CT2_INT8,)),
    ):
        yield from ((ours, other) for other in others)
        for name in engines:
            if name.startswith(f"{ours}, "):
                yield name, ours
                yield from ((name, other) for other in others if other != TRANSFORMERS)
                if ours == OURS:
                    yield name, LOOKUP


def _cells(results: TrainedResults, name: str) -> tuple[str, ...]:
    found = [(each, each.engines[name]) for each in results.batches]
    times = (_time(engine) for _, engine in found)
    shares = (_share(batches, engine) for batches, engine in found)
    return name, *times, *shares


def _time(engine: Summarised) -> str:
    if not engine.seconds:
        return "failed"
    ms = 1e3 * np.array(engine.seconds)
    return f"{np.median(ms):.1f} ({np.percentile(ms, 90):.1f})"


def _share(batches: Batches, engine: Summarised) -> str:
    if engine.equal_rows is None:
        return "not known"
    return f"{engine.equal_rows / (batches.rows * batches.count):.1%}"


def _ratios(results: TrainedResults, ours: str, other: str) -> Iterator[str]:
    for batches in results.batches:
        one, two = batches.engines[other].seconds, batches.engines[ours].seconds
        if not one or not two:
            yield "failed"
            continue
        ratios = [a / b for a, b in zip(one, two, strict=True)]
        try:
            found = median_interval(ratios)
        except ValueError:  # a quick run has too few batches for one
            yield f"{statistics.median(ratios):.2f}"
            continue
        yield f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"
