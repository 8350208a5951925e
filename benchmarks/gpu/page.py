"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.environment import Machine
from benchmarks.gpu.plan import SHAPES
from benchmarks.markdown import table

Results = dict[str, Any]

_HEAD = """# On a GPU

What the exports and the training make of a GPU, beside PyTorch on the same machine: each
phase runs in a separate process; medians, with the least and the most. `make bench-gpu` writes
this page; if there is no GPU it says so and ends.

"""
_NAMES = {"xla": "XLA export", "default": "default export", "torch": "transformers, PyTorch"}


def render(results: Results) -> str:
    """The page, in Markdown."""
    phases = results["phases"]
    parts = [_HEAD, *_machine(results, phases.get("sanity", {}))]
    parts += _answers(phases)
    for shape in SHAPES:
        parts += _decoding(shape, phases)
    parts += _cache(phases)
    parts += _rounding(phases.get("rounding", {}))
    parts += _training(phases)
    parts += _notes(results.get("notes", []))
    parts += _failures(phases)
    return "".join(parts).rstrip() + "\n"


def _machine(results: Results, sanity: Results) -> Iterator[str]:
    gpu = results["gpu"] or "no GPU: a try of the phases, whose figures say nothing"
    yield f"Measured on {gpu}; {Machine.from_json(results['machine'])}. TensorFlow "
    yield f"{sanity.get('tensorflow')}, built for CUDA {sanity.get('cuda') or '-'}.\n\n"
    if results.get("code"):
        yield f"**What was measured:** {results['code']}.\n\n"
    rows = [
        (name, _error(sanity.get(f"error_{name}")), sanity.get(f"tflops_{name}", ""))
        for name in ("float32", "tf32", "bfloat16")
    ]
    yield table(("products in", "relative error", "TFLOP/s"), rows) + "\n"


def _answers(phases: Results) -> Iterator[str]:
    rows = []
    for name in ("answers tf32", "answers float32", "answers cpu"):
        found = phases.get(name, {})
        if "alone_differ" in found:
            of = f" of {found['texts']}"
            rows.append(
                (
                    name.removeprefix("answers "),
                    f"{found['counts_differ']}{of}" if "counts_differ" in found else "",
                    f"{found['answers_differ']}{of}" if "answers_differ" in found else "",
                    f"{found['alone_differ']} of {found['alone']}",
                    f"{found['by_eight_differ']} of {found['by_eight']}",
                    _by_size(found["ms"]),
                    _by_size(found.get("count_ms", {})),
                )
            )
    if rows:
        yield "## A pushed model's answers\n\nRows that differ, and ms by rows.\n\n"
        yield table(
            (
                "",
                "input counts, to the CPU's",
                "answers, to the CPU's",
                "64 at a time, to alone",
                "to eight at a time",
                "ms",
                "counting alone, ms",
            ),
            rows,
        )
        yield "\n"


def _decoding(shape: str, phases: Results) -> Iterator[str]:
    found = {
        (kind, case["arithmetic"], tuple(case["case"])): case
        for name, phase in phases.items()
        for kind in _NAMES
        if name.startswith(f"{shape} {kind}")
        for case in phase.get("cases", ())
    }
    if not found:
        return
    sizes = sorted({case for _, _, case in found})
    yield f"## Decoding, {shape}\n\nMilliseconds; rows, ids in → ids out.\n\n"
    header = ["", *(f"{batch}, {ids_in} → {out}" for batch, ids_in, out in sizes)]
    rows, alike = [], []
    for kind, arithmetic in dict.fromkeys((kind, arithmetic) for kind, arithmetic, _ in found):
        cells = [found.get((kind, arithmetic, size)) for size in sizes]
        label = f"{_NAMES[kind]}, {arithmetic}"
        rows.append([label, *map(_timing, cells)])
        alike.append(
            [label, *(_equal(case, size) for case, size in zip(cells, sizes, strict=True))]
        )
    yield table(header, rows)
    again = {
        size: found["default", "tf32", size].get("decided_again")
        for size in sizes
        if ("default", "tf32", size) in found
    }
    if again:
        listed = ", ".join(f"{count} of {size[0]}" for size, count in again.items())
        yield f"\nRows of the default export that were decided again: {listed}.\n"
    if any(cell for _, *cells in alike for cell in cells):
        yield "\nRows whose ids are all equal to those of the most exact transformers:\n\n"
        yield table(header, alike)
    first = sorted(
        case["first_s"]
        for (kind, _, _), case in found.items()
        if kind == "xla" and "ms" in case
    )
    if first:
        yield f"\nA first call of the XLA export compiles: {first[0]} to {first[-1]} s.\n"
    yield "\n"


def _by_size(ms: dict[str, float]) -> str:
    return ", ".join(f"{size}: {each:g}" for size, each in ms.items())


def _timing(case: Results | None) -> str:
    if case is None:
        return ""
    if "ms" not in case:
        return str(case.get("error", "failed"))[:60]
    return f"{case['ms']:.0f} ({case['least_ms']:.0f}-{case['most_ms']:.0f})"


def _equal(case: Results | None, size: tuple[int, ...]) -> str:
    return f"{case['equal_rows']} of {size[0]}" if case and "equal_rows" in case else ""


def _cache(phases: Results) -> Iterator[str]:
    seconds = [
        phases.get(name, {}).get("cases", [{}])[0].get("first_s")
        for name in ("cache empty", "cache filled")
    ]
    if None not in seconds:
        yield "## XLA's persistent cache\n\n"
        yield (
            f"T5-small, one row, `TF_XLA_FLAGS=--tf_xla_persistent_cache_directory=...`: the "
            f"first call of a process takes {seconds[0]} s with an empty cache, and "
            f"{seconds[1]} s with what that one left.\n\n"
        )


def _rounding(found: Results) -> Iterator[str]:
    rows = [
        (
            arithmetic,
            *(_error(found[arithmetic][key]) for key in _ROUNDING),
            "yes" if found[arithmetic]["same_bits_at_each_place"] else "no",
        )
        for arithmetic in ("float32", "tf32", "bfloat16")
        if arithmetic in found
    ]
    if rows:
        yield "## What rounding does to a decision\n\n"
        yield (
            f"Change of the lead of a step's best id over the second, as a share of its logit; "
            f"T5-small, {found['rows']} rows, {found['steps']} steps. The search calls a lead "
            "below 1e-3 in doubt.\n\n"
        )
        yield table(("products in", *_ROUNDING.values(), "same bits at each place"), rows)
        yield "\n"


_ROUNDING = {
    "batch_and_alone": "batch and alone, most",
    "batch_and_alone_99": "99 of 100 below",
    "device_and_cpu": "GPU and CPU, most",
    "device_and_cpu_99": "99 of 100 below",
}


def _training(phases: Results) -> Iterator[str]:
    rows = []
    for name, phase in phases.items():
        if not name.startswith("train "):
            continue
        own = {name.removeprefix("train "): phase} if "rounds" in phase else {}
        torch = {f"PyTorch, {mode}": each for mode, each in phase.get("modes", {}).items()}
        for label, each in {**own, **torch}.items():
            speeds = sorted(speed for speed, _ in each["rounds"])
            if speeds:
                middle = speeds[len(speeds) // 2]
                rows.append(
                    (
                        label,
                        f"{middle:,.0f} ({speeds[0]:,.0f}-{speeds[-1]:,.0f})",
                        each["rounds"][-1][1],
                        each["first_s"],
                    )
                )
    if rows:
        yield "## Training, T5-small, batches of 64\n\nThe same batches for all sides.\n\n"
        yield table(("", "examples/s", "loss, last round", "first step, s"), rows) + "\n"


def _notes(notes: list[str]) -> Iterator[str]:
    if notes:
        yield "## To be read with it\n\n"
        yield from (f"- {note}\n" for note in notes)
        yield "\n"


def _failures(phases: Results) -> Iterator[str]:
    failed = {name: phase["error"] for name, phase in phases.items() if "error" in phase}
    if failed:
        yield "## Not measured\n\n"
        for name, error in failed.items():
            yield f"- {name}: {error.splitlines()[0][:200]}\n"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
