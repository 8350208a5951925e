"""Turns a corpus as a user names it (file, folder, glob, spans) into TFX's input
configuration."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from typing import Final

from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2

from components.corpus_example_gen.files import choose_files, format_of, list_files
from components.corpus_example_gen.options import FORMATS, CorpusInputError, CorpusOptions

TRAIN: Final = "train"
EVAL: Final = "eval"
# "train.jsonl", "train-00000-of-00004.parquet", "train_2.csv", or a folder "train".
_SPLIT_PATTERNS: Final = ("{name}[-._]*", "{name}/*", "Split-{name}/*")
_WILD: Final = re.compile(r"[*?\[{]")
_SPEC: Final = re.compile(r"\{(?:SPAN|VERSION)(?::\d+)?\}|\{YYYY\}|\{MM\}|\{DD\}")
# Buckets of the hash split: how finely eval_fraction is honoured.
_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class CorpusInput:
    """The input of FileBasedExampleGen: a base folder and patterns below it."""

    base: str
    config: example_gen_pb2.Input

    @property
    def has_splits(self) -> bool:
        """Whether the corpus itself determines which rows are held out."""
        return len(self.config.splits) > 1


def resolve_corpus(path: str, options: CorpusOptions) -> CorpusInput:
    """Find the files of a corpus.

    Args:
      path: a file, a folder, a glob, or a pattern with TFX's ``{SPAN}``, ``{VERSION}``,
        ``{YYYY}``, ``{MM}``, ``{DD}`` in it; local or of any file system TensorFlow
        knows. A folder with ``train.*`` or ``train-*`` and ``eval.*`` or ``eval-*`` files
        (or folders of these names) has these splits; of any other all files are taken.
      options: the format determines which files count.

    Raises:
      CorpusInputError: nothing is there, or no file has a recognisable format.
    """
    if not path.strip():
        raise CorpusInputError(
            "No corpus was given. Expected: a file, a folder or a glob of (document, "
            "summary) pairs. Received: an empty path. Set corpus.path or pass --corpus."
        )
    base, pattern = _base_and_pattern(path)
    patterns = _patterns(base, pattern, options)
    for found in patterns.values():
        _check_usable(path, base, _SPEC.sub("*", found), options)
    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=found)
        for name, found in patterns.items()
    ]
    return CorpusInput(base, example_gen_pb2.Input(splits=splits))


def as_one_split(corpus: CorpusInput, name: str) -> CorpusInput:
    """Return a corpus as one split: all of it, or the part that it holds out itself."""
    patterns = {split.name: split.pattern for split in corpus.config.splits}
    pattern = patterns[EVAL] if corpus.has_splits else patterns["all"]
    split = example_gen_pb2.Input.Split(name=name, pattern=pattern)
    return CorpusInput(corpus.base, example_gen_pb2.Input(splits=[split]))


def output_config(corpus: CorpusInput, eval_fraction: float) -> example_gen_pb2.Output:
    """Return the corpus's own splits, or a split by a hash of the document.

    A document's split depends only on its text: equal documents are in the same split, and stay
    there when the corpus grows.

    Raises:
      CorpusInputError: ``eval_fraction`` is not between 0 and 1.
    """
    if corpus.has_splits:
        return example_gen_pb2.Output()
    if not 0 < eval_fraction < 1:
        raise CorpusInputError(
            f"eval_fraction must be between 0 and 1. Received: {eval_fraction}"
        )
    held_out = min(_BUCKETS - 1, max(1, round(eval_fraction * _BUCKETS)))
    split = example_gen_pb2.SplitConfig.Split
    return example_gen_pb2.Output(
        split_config=example_gen_pb2.SplitConfig(
            splits=[
                split(name=TRAIN, hash_buckets=_BUCKETS - held_out),
                split(name=EVAL, hash_buckets=held_out),
            ],
            partition_feature_name="document",
        )
    )


def _base_and_pattern(path: str) -> tuple[str, str]:
    """A folder without wild cards, and the pattern below it; empty for the folder."""
    if fileio.isdir(path):
        return path.rstrip("/") or "/", ""
    if fileio.exists(path):
        parent, _, name = path.rpartition("/")
        return parent or ("/" if path.startswith("/") else "."), glob.escape(name)
    parts = path.split("/")
    wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), None)
    if wild is None:
        raise CorpusInputError(
            f"The corpus {path} does not exist. Expected: a file, a folder or a glob of "
            f"{', '.join(FORMATS[1:])} files. Correct corpus.path or --corpus."
        )
    base = "/".join(parts[:wild]) or ("/" if path.startswith("/") else ".")
    return base, "/".join(parts[wild:])


def _patterns(base: str, pattern: str, options: CorpusOptions) -> dict[str, str]:
    """Split names and their patterns."""
    is_folder = not pattern or (
        bool(_SPEC.search(pattern)) and "*" not in pattern and format_of(pattern) is None
    )
    if not is_folder:
        return {"all": pattern}
    inside = f"{pattern.rstrip('/')}/" if pattern else ""
    found = {
        name: inside + split.format(name=name)
        for name in (TRAIN, EVAL)
        for split in reversed(_SPLIT_PATTERNS)  # of several, the first of them holds
        if _usable(base, _SPEC.sub("*", inside + split.format(name=name)), options)
    }
    return found if len(found) == 2 else {"all": inside + "*"}


def _usable(base: str, pattern: str, options: CorpusOptions) -> list[str]:
    return [file.name for file in choose_files(list_files(base, pattern), base, options)[0]]


def _check_usable(path: str, base: str, pattern: str, options: CorpusOptions) -> None:
    if _usable(base, pattern, options):
        return
    there = list_files(base, pattern)
    received = ", ".join(sorted(there)[:5]) + (" …" if len(there) > 5 else "")
    raise CorpusInputError(
        f"The corpus {path} has no file that can be read. Expected: names ending in .jsonl, "
        ".csv, .tsv, .parquet or .tfrecord (text and TFRecord also with .gz), or a setting "
        f"corpus.format. Received: {received or 'no file at all'}."
    )
