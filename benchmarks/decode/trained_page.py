"""The results on a trained model as a section of the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import markdown
from benchmarks.decode.engines import (
    CT2_FLOAT32,
    CT2_INT8,
    DRAFTS,
    INT8,
    LOOKUP,
    OURS,
    TRANSFORMERS,
    XLA,
)
from benchmarks.decode.trained_results import Batches, Summarised, TrainedResults
from benchmarks.environment import others_took
from benchmarks.timings import median_interval

_HEAD = """## A trained model

Held-out documents, as they are: rows of different lengths, summaries that end where the model
ends them. Each batch is summarised by every engine in turns, twice; the first time is not
counted. Rows that are shorter than others of their batch are padded, as each engine does it.

**The model.** {name}, a {family} with {encoder_layers} layers in the encoder and
{decoder_layers} in the decoder, of width {width} with {heads} heads and a feed-forward of
{feed_forward}; {vocabulary:,} ids; {weights:.1f} million weights. At most {ids_in} ids in and
{ids_out} out. It is small: a step takes so little time that what an engine spends besides the
products decides much of it. All engines have its weights, in a Hugging Face folder and
converted from that for CTranslate2, and decode greedily.{decoding}

"Same ids" is the share of rows whose ids, up to EOS, are those of the default export without
drafts, in float32. "Faster" is the other engine's time divided by ours, as the median over
batches of the ratio at each batch, with its 95 % confidence interval: above 1, ours is
faster. Of several rows the default export drafts nothing (`export.drafted_rows`).
"""


def render_trained(results: TrainedResults, *, command: str) -> str:
    """The section, in Markdown.

    Args:
      results: of the version.
      command: that measures again.
    """
    parts = [_head(results)]
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
    parts.append(f"To measure again, after `make demo`: `{command}`.\n")
    return "\n".join(parts)


def _head(results: TrainedResults) -> str:
    model = results.model
    decoding = ""
    if results.decoding:
        own = ", ".join(f"`{name} = {value}`" for name, value in results.decoding.items())
        decoding = f" The version itself decodes with {own}: here nothing of that holds."
    return _HEAD.format(
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
        decoding=decoding,
    )


def _rows(batches: Batches) -> str:
    return f"{batches.rows} row{'s' if batches.rows > 1 else ''}"


def _lengths(results: TrainedResults) -> str:
    """How long documents and summaries are."""
    sentences = (
        f"{_rows(each)}: {each.ids_in:.1f} ids in"
        + (f" and {each.ids_out:.1f} out" if each.ids_out is not None else "")
        for each in results.batches
    )
    return f"On average, with {'; '.join(sentences)}, special ids included."


def _pairs(engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """An engine of ours, and the one that it is compared with."""
    drafting = [name for name in engines if name.startswith(DRAFTS.partition("{")[0])]
    yield OURS, TRANSFORMERS
    yield OURS, CT2_FLOAT32
    for name in drafting:
        yield name, OURS
        yield name, LOOKUP
        yield name, CT2_FLOAT32
    yield XLA, CT2_FLOAT32
    yield INT8, CT2_INT8


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
