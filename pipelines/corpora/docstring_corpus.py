"""The demo's corpus: summaries and descriptions from installed packages' docstrings."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from pipelines.corpora.docstring_mining import MinedFiles, MinedPair, mine_files
from pipelines.corpora.docstring_split import SplitPairs, SplitSettings, split_pairs
from pipelines.corpora.python_sources import (
    CorpusError,
    PythonFile,
    PythonSources,
    installed_sources,
)

TRAIN_FILE: Final = "train.jsonl"
EVAL_FILE: Final = "eval.jsonl"
DESCRIPTION_FILE: Final = "corpus.json"
_FILES_PER_TASK: Final = 60
# Starting a worker process costs more than this many files take.
_FILES_WORTH_A_POOL: Final = 400
_HOW: Final = (
    "One-line summaries (PEP 257) of the docstrings of the standard library and of the "
    "installed packages that the project requires, with the prose below each as the "
    "document. Sections (Args, Returns, ...), code, lists and tables are left out; tests, "
    "vendored copies and generated code are not mined. Near-duplicate documents and equal "
    "summaries are clustered, and each cluster is in one split only."
)


@dataclass(frozen=True, slots=True)
class DocstringCorpus:
    """A corpus directory. ``built`` is false if it was already complete."""

    directory: Path
    train_pairs: int
    eval_pairs: int
    built: bool
    description: dict[str, Any]


def build_docstring_corpus(
    output_dir: str | Path,
    *,
    sources: PythonSources | None = None,
    settings: SplitSettings | None = None,
    processes: int | None = None,
    console: Console | None = None,
) -> DocstringCorpus:
    """Mine docstrings into ``train.jsonl``, ``eval.jsonl`` and ``corpus.json``.

    Idempotent: if the directory contains the result of the same files, versions, settings and
    code, nothing is written. The files are the same on every machine with the same packages and
    interpreter. ``corpus.json`` is written last, so a directory that has it is complete.

    Args:
      output_dir: created if it does not exist.
      sources: the files to mine; by default the installed packages.
      settings: sizes and limits of the splits.
      processes: worker processes; by default one per usable core.
      console: where progress is shown; none is shown by default.

    Raises:
      CorpusError: nothing usable was found, or too little to hold anything out.
    """
    directory = Path(output_dir)
    settings = settings or SplitSettings()
    sources = sources or installed_sources()
    fingerprint = _fingerprint(sources, settings)
    if (existing := _complete_corpus(directory, fingerprint)) is not None:
        return existing

    mined = _mine(sources.files, processes or _usable_cores(), console)
    splits = split_pairs(mined.pairs, settings)
    if not splits.train or not splits.eval:
        raise CorpusError(
            f"no corpus could be built from {len(sources.files)} Python files. Expected: at "
            f"least one pair in each split. Received: {len(splits.train)} to train on and "
            f"{len(splits.eval)} held out, of {mined.docstrings} docstrings. Left out: "
            f"{_counts_text(mined.rejects + splits.rejects) or 'nothing'}. Mine an "
            "environment with more packages."
        )
    description = _describe(sources, settings, mined, splits, fingerprint)
    _write(directory, splits, description)
    return _corpus(directory, description, built=True)


def _fingerprint(sources: PythonSources, settings: SplitSettings) -> str:
    digest = hashlib.sha256(sources.fingerprint().encode())
    digest.update(json.dumps(asdict(settings), sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _complete_corpus(directory: Path, fingerprint: str) -> DocstringCorpus | None:
    try:
        description = json.loads((directory / DESCRIPTION_FILE).read_bytes())
        if description["fingerprint"] != fingerprint:
            return None
        for name, digest in description["files"].items():
            if hashlib.sha256((directory / name).read_bytes()).hexdigest() != digest:
                return None
        return _corpus(directory, description, built=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, cut off or not ours: build it


def _corpus(directory: Path, description: dict[str, Any], *, built: bool) -> DocstringCorpus:
    pairs = description["pairs"]
    return DocstringCorpus(directory, pairs["train"], pairs["eval"], built, description)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _mine(files: Sequence[PythonFile], processes: int, console: Console | None) -> MinedFiles:
    tasks = [
        list(files[start : start + _FILES_PER_TASK])
        for start in range(0, len(files), _FILES_PER_TASK)
    ]
    mined = MinedFiles()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=console is None,
    )
    with progress:
        bar = progress.add_task("Mining docstrings (files)", total=len(files))
        for part, task in zip(_results(tasks, processes), tasks, strict=True):
            mined.add(part)
            progress.advance(bar, len(task))
        progress.update(bar, description="Splitting without near-duplicates")
    return mined


def _results(tasks: list[list[PythonFile]], processes: int) -> Iterator[MinedFiles]:
    """Each task's result, in order, whatever the number of processes."""
    if processes == 1 or len(tasks) * _FILES_PER_TASK < _FILES_WORTH_A_POOL:
        yield from map(mine_files, tasks)
        return
    # "spawn": a fork of a process that has TensorFlow's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(mine_files, tasks)


def _describe(
    sources: PythonSources,
    settings: SplitSettings,
    mined: MinedFiles,
    splits: SplitPairs,
    fingerprint: str,
) -> dict[str, Any]:
    everything = splits.train + splits.eval
    by_source = Counter(pair.source for pair in everything)
    return {
        "how": _HOW,
        "fingerprint": fingerprint,
        "settings": asdict(settings),
        "pairs": {"train": len(splits.train), "eval": len(splits.eval)},
        "clusters": splits.clusters,
        "median_words": {
            "document": statistics.median(len(pair.document.split()) for pair in everything),
            "summary": statistics.median(len(pair.summary.split()) for pair in everything),
        },
        "python_files": len(sources.files),
        "skipped_files": dict(sorted(mined.skipped_files.items())),
        "docstrings": mined.docstrings,
        "rejected_docstrings": dict(sorted((mined.rejects + splits.rejects).items())),
        "pairs_by_source": dict(sorted(by_source.items(), key=lambda kv: (-kv[1], kv[0]))),
        "versions": dict(sorted(sources.versions.items())),
        "files": {
            name: hashlib.sha256(_jsonl(pairs)).hexdigest()
            for name, pairs in ((TRAIN_FILE, splits.train), (EVAL_FILE, splits.eval))
        },
    }


def _jsonl(pairs: Sequence[MinedPair]) -> bytes:
    return b"".join(
        json.dumps(asdict(pair), ensure_ascii=False).encode() + b"\n" for pair in pairs
    )


def _write(directory: Path, splits: SplitPairs, description: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    # First the old description goes, last the new one comes: a directory that has one
    # is whole, also when this is killed in between.
    (directory / DESCRIPTION_FILE).unlink(missing_ok=True)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    for name, content in (
        (TRAIN_FILE, _jsonl(splits.train)),
        (EVAL_FILE, _jsonl(splits.eval)),
        (DESCRIPTION_FILE, text.encode()),
    ):
        partial = directory / f".{name}.partial"
        partial.write_bytes(content)
        partial.replace(directory / name)


def _counts_text(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
