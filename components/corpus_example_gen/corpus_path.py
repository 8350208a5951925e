"""Turns a corpus as a user names it (file, folder, glob, spans) into TFX's input
configuration."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2

from components.corpus_example_gen.files import (
    CorpusFile,
    choose_files,
    format_of,
    list_files,
)
from components.corpus_example_gen.options import FORMATS, CorpusInputError, CorpusOptions
from components.corpus_example_gen.split_names import (
    EVAL,
    TEST,
    TRAIN,
    NamedSplits,
    named_splits,
    splits_meant,
)

_ALL: Final = "all"
_WILD: Final = re.compile(r"[*?\[{]")
_SPEC: Final = re.compile(r"\{(?:SPAN|VERSION)(?::\d+)?\}|\{YYYY\}|\{MM\}|\{DD\}")
# Buckets of the hash split: how finely eval_fraction is honoured.
_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class CorpusInput:
    """What FileBasedExampleGen is given: a base folder and patterns below it.

    Attributes:
      base: the folder.
      config: the patterns to train on and to validate with.
      test: pattern of the corpus's own test set, which is neither; empty if it has none.
      files: of a corpus whose files' names tell splits, these by split: ``train``, ``eval``
        and ``test``; empty for any other.
      left_out: files that are none of these.
    """

    base: str
    config: example_gen_pb2.Input
    test: str = ""
    files: Mapping[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def has_splits(self) -> bool:
        """Whether the corpus itself says which rows choose the best step."""
        return len(self.config.splits) > 1


def resolve_corpus(path: str, options: CorpusOptions) -> CorpusInput:
    """Find the files of a corpus.

    Args:
      path: a file, a folder, a glob, or a pattern with TFX's ``{SPAN}``, ``{VERSION}``,
        ``{YYYY}``, ``{MM}``, ``{DD}`` in it; local or of any file system TensorFlow
        knows. A folder whose files tell splits by their names has these
        (`components.corpus_example_gen.split_names`); of any other all files are taken.
      options: the format decides which files count.

    Raises:
      CorpusInputError: nothing is there, no file has a format that can be told, or names
        only half say which split is meant.
    """
    if not path.strip():
        raise CorpusInputError(
            "No corpus was given. Expected: a file, a folder or a glob of (document, "
            "summary) pairs. Received: an empty path. Set corpus.path or pass --corpus."
        )
    base, pattern, of_folders = _base_and_pattern(path)
    if not of_folders:
        _check_usable(path, base, pattern, options)
        _check_one_split(path, base, pattern, options)
        return CorpusInput(base, _config({_ALL: pattern}))
    inside = f"{pattern.rstrip('/')}/" if pattern else ""
    named = _named_splits(path, base, inside, options)
    if not named.patterns:
        _check_usable(path, base, inside + "*", options)
        return CorpusInput(base, _config({_ALL: inside + "*"}))
    patterns = {split: inside + found for split, found in named.patterns.items()}
    test = patterns.pop(TEST, "")
    if EVAL not in patterns:  # then a part of what is trained on is held out
        patterns = {_ALL: patterns[TRAIN]}
    return CorpusInput(base, _config(patterns), test, named.files, named.left_out)


def as_one_split(corpus: CorpusInput, name: str) -> CorpusInput:
    """A corpus as one split: its test set, or else what it holds out itself, or all of it."""
    patterns = {split.name: split.pattern for split in corpus.config.splits}
    pattern = corpus.test or patterns.get(EVAL) or patterns[_ALL]
    return CorpusInput(corpus.base, _config({name: pattern}))


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


def _base_and_pattern(path: str) -> tuple[str, str, bool]:
    """A folder, a pattern below it, and whether the pattern names folders, not files in them.

    TFX and file systems take the whole for a pattern, so that the folder must have nothing in
    it that is special in one: what has is a part of the pattern, escaped.
    """
    if fileio.isdir(path):
        base, rest = _plain_base(path.rstrip("/") or "/")
        return base, rest, True
    if fileio.exists(path):
        return *_plain_base(path), False
    parts = path.split("/")
    wild = next(
        (
            i
            for i, part in enumerate(parts)
            # A folder whose own name looks like a pattern is that folder.
            if _WILD.search(part) and not fileio.exists("/".join(parts[: i + 1]))
        ),
        None,
    )
    if wild is None:
        raise CorpusInputError(
            f"The corpus {path} does not exist. Expected: a file, a folder or a glob of "
            f"{', '.join(FORMATS[1:])} files. Correct corpus.path or --corpus."
        )
    base, rest = _plain_base("/".join(parts[:wild]) or ("/" if path.startswith("/") else "."))
    pattern = "/".join([*([rest] if rest else []), *parts[wild:]])
    return base, pattern, _names_folders(pattern)


def _plain_base(path: str) -> tuple[str, str]:
    """A path's folders as far as nothing in them is special, and the rest, escaped."""
    parts = path.split("/")
    last = len(parts) if fileio.isdir(path) else len(parts) - 1
    plain = next((i for i, part in enumerate(parts) if glob.escape(part) != part), last)
    plain = min(plain, last)
    base = "/".join(parts[:plain]) or ("/" if path.startswith("/") else ".")
    return base, "/".join(glob.escape(part) for part in parts[plain:])


def _config(patterns: Mapping[str, str]) -> example_gen_pb2.Input:
    # TFX numbers splits in the order they stand in: to train on comes first.
    return example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(name=name, pattern=patterns[name])
            for name in (_ALL, TRAIN, EVAL)
            if name in patterns
        ]
    )


def _names_folders(pattern: str) -> bool:
    """Whether a pattern of spans names folders, in which the files are."""
    return bool(_SPEC.search(pattern)) and "*" not in pattern and format_of(pattern) is None


def _named_splits(path: str, base: str, inside: str, options: CorpusOptions) -> NamedSplits:
    """Splits by the names of files below a folder, or below each span's."""
    depth = inside.count("/")
    below = _SPEC.sub("*", inside)
    usable, others = set[str](), set[str]()
    for pattern in (below + "*", below + "*/*"):
        chosen, left_out = _chosen(base, pattern, options)
        usable |= {"/".join(file.name.split("/")[depth:]) for file in chosen}
        others |= {"/".join(name.split("/")[depth:]) for name in left_out}
    return named_splits(usable, path, others)


def _check_one_split(path: str, base: str, pattern: str, options: CorpusOptions) -> None:
    """Refuse a glob whose files are of several splits: they would all be trained on."""
    meant = splits_meant(_usable(base, _SPEC.sub("*", pattern), options))
    if len(meant) < 2:
        return
    received = "; ".join(f"{split}: {', '.join(names[:3])}" for split, names in meant.items())
    raise CorpusInputError(
        f"The corpus {path} takes files of several splits. Expected: a folder, whose splits "
        f"are told by its files' names, or a glob of one split. Received: {received}."
    )


def _usable(base: str, pattern: str, options: CorpusOptions) -> list[str]:
    return [file.name for file in _chosen(base, pattern, options)[0]]


def _chosen(
    base: str, pattern: str, options: CorpusOptions
) -> tuple[list[CorpusFile], list[str]]:
    """As `choose_files`; a link to nothing is refused while there is time to mend it."""
    chosen, left_out = choose_files(list_files(base, pattern), base, options)
    for file in chosen:
        if Path(file.path).is_symlink() and not Path(file.path).exists():
            raise CorpusInputError(
                f"{file.path} is a link to {Path(file.path).readlink()}, which does not exist. "
                "Expected a file that can be read. Remove the link, or correct it."
            )
    return chosen, left_out


def _check_usable(path: str, base: str, pattern: str, options: CorpusOptions) -> None:
    pattern = _SPEC.sub("*", pattern)
    if _usable(base, pattern, options):
        return
    there = list_files(base, pattern)
    received = ", ".join(sorted(there)[:5]) + (" …" if len(there) > 5 else "")
    raise CorpusInputError(
        f"The corpus {path} has no file that can be read. Expected: names ending in .jsonl, "
        ".json, .csv, .tsv, .parquet, .arrow or .tfrecord (.gz too for text and TFRecord), or "
        f"a stated corpus.format. Received: {received or 'no file at all'}."
    )
