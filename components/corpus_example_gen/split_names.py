"""Splits told from the names of files and folders, as `datasets` and TFX write them.

A file belongs to a split if its name is the split's, or if the folder it is in has that name:
``train.jsonl``, ``validation-00000-of-00002.parquet``, ``test_1.csv``, ``dev/a.csv``,
``Split-eval/data.tfrecord.gz``. ``validation``, ``valid``, ``val``, ``dev`` and ``eval`` are
one split. Capital letters make no difference.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from components.corpus_example_gen.options import CorpusInputError

TRAIN: Final = "train"
EVAL: Final = "eval"
TEST: Final = "test"

_SPLIT_OF: Final = {
    "train": TRAIN,
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), EVAL),
    "test": TEST,
}
# Words that mean a split and are not its name: whoever writes them has to say what is meant.
_LIKE_A_SPLIT: Final = {
    "training": TRAIN,
    **dict.fromkeys(("validate", "development", "evaluation", "evaluate"), EVAL),
    **dict.fromkeys(("testing", "tests", "heldout", "holdout"), TEST),
}
# What a name may hold beside the split: `-00000-of-00004`, `.part1`, `datasets`' checksum.
_SHARD: Final = re.compile(r"\d+|of|(?:part|shard)\d*|[0-9a-f]{8,}")
_FORMAT: Final = re.compile(r"jsonl?|ndjson|[ct]sv|parquet|pq|tfrecords?|arrow|gz")
_WORDS: Final = re.compile(r"[a-z]+|[0-9a-f]{8,}|\d+")
_SPLIT_WORD: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class NamedSplits:
    """What the names of a folder's files say.

    Attributes:
      patterns: globs below the folder, by split: ``train``, ``eval``, ``test``; empty where
        the names say nothing.
      files: the files of each, sorted.
      left_out: files whose names have nothing to do with a split, where others' have.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def named_splits(
    names: Iterable[str], where: str, unreadable: Iterable[str] = ()
) -> NamedSplits:
    """Tell the splits of a folder.

    Args:
      names: paths below the folder, at most one folder deep, of files that can be read.
      where: the folder, for messages.
      unreadable: paths of the other files.

    Returns:
      the splits; none if all files belong to one, or if the names say nothing.

    Raises:
      CorpusInputError: names only half say which split is meant, or two of them mean the same
        one, or no file is to train on.
    """
    names = sorted(names)
    fits: dict[str, dict[str, list[str]]] = {}  # by split and pattern
    half: dict[str, str] = {}
    others: list[str] = []
    below: list[str] = []
    for name in names:
        if fit := _fit(name):
            split, pattern = fit
            fits.setdefault(split, {}).setdefault(pattern, []).append(name)
        elif "/" in name:
            below.append(name)
        elif like := _meant(name):
            half[name] = like
        else:
            others.append(name)
    if fits:  # other folders count only beside one that is a split
        half |= {name: like for name in below if (like := _meant(name.partition("/")[0]))}
    meant = set(fits) | set(half.values())
    if not meant - {TRAIN}:
        return NamedSplits()  # at most files to train on, whatever their names
    to_train_on = [name for name in unreadable if _meant(name) == TRAIN]
    if TRAIN not in fits and to_train_on:
        raise CorpusInputError(
            f"{_shown(to_train_on)} in {where} cannot be read, and would be trained on by its "
            f"name; {_shown(names)} can. Expected every split in a format that is told by the "
            "name. Rename the file, or state corpus.format."
        )
    if not half and len(fits) == 1 and not others:
        return NamedSplits()  # a folder of one split, named as that
    _refuse_half(half, fits, where)
    for split, patterns in fits.items():
        if len(patterns) > 1:
            raise CorpusInputError(
                f"Two names in {where} mean the {split} split: "
                f"{_shown(each[0] for each in patterns.values())}. Expected one name for each "
                "split. Rename or move the files of one of them."
            )
    if TRAIN not in fits:
        raise CorpusInputError(
            f"Names in {where} tell held-out files, but none to train on: "
            f"{_shown(names)}. Expected files or a folder named train. Rename the files to "
            "train on, or name one file or a glob of one split as the corpus."
        )
    return NamedSplits(
        {split: next(iter(patterns)) for split, patterns in fits.items()},
        {split: next(iter(patterns.values())) for split, patterns in fits.items()},
        others,
    )


def split_lines(
    files: Mapping[str, list[str]], left_out: list[str], test_path: str
) -> list[str]:
    """Which file is used for what, a line each; no line where the names say nothing.

    Args:
      files: by split.
      left_out: files that are used for nothing.
      test_path: the test set that the settings name; empty if none.
    """
    if not files:
        return []
    lines = [f"to train on: {_shown(files[TRAIN])}"]
    if EVAL in files:
        lines.append(f"to choose the best step: {_shown(files[EVAL])}")
    else:
        lines.append("to choose the best step: a share of the documents to train on")
    if test_path:
        lines.append(f"test set: {test_path}, as corpus.test_path says")
        left_out = [*files.get(TEST, []), *left_out]
    elif TEST in files:
        lines.append(f"test set: {_shown(files[TEST])}")
    if left_out:
        lines.append(f"not read: {_shown(left_out)}")
    return lines


def splits_meant(names: Iterable[str]) -> dict[str, list[str]]:
    """Files by the split that their names mean, if only half; others are not in it."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        fit = _fit(name)
        if split := fit[0] if fit else _meant(name):
            found.setdefault(split, []).append(name)
    return found


def _fit(name: str) -> tuple[str, str] | None:
    """The split that a path names in full, and the pattern of its like."""
    folder, _, file = name.rpartition("/")
    if folder:
        split = _SPLIT_OF.get(folder.lower().removeprefix("split-"))
        return (split, f"{glob.escape(folder)}/*") if split else None
    first, *rest = _SPLIT_WORD.findall(file) or [""]
    split = _SPLIT_OF.get(first.lower())
    if split is None or not file.startswith(first):
        return None
    words = [word.lower() for word in rest if not _FORMAT.fullmatch(word.lower())]
    return (split, f"{first}[-._]*") if all(map(_SHARD.fullmatch, words)) else None


def _meant(name: str) -> str | None:
    """The split that a word in a path means."""
    for word in _WORDS.findall(name.lower()):
        if split := _SPLIT_OF.get(word) or _LIKE_A_SPLIT.get(word):
            return split
    return None


def _refuse_half(half: Mapping[str, str], fits: Mapping[str, object], where: str) -> None:
    if not half:
        return
    told = "; ".join(f"{name} (like {split})" for name, split in list(half.items())[:5])
    raise CorpusInputError(
        f"Names in {where} contain a split's name and are not one: {told}"
        f"{' …' if len(half) > 5 else ''}. "
        "Expected train, validation (or valid, val, dev, eval) and test, alone or with the "
        "number of a part, as in train-00000-of-00002.parquet, or folders of these names. "
        "Rename the files, or name one file or a glob of the files to train on as the corpus, "
        "and held-out ones in corpus.test_path."
    )


def _shown(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (" …" if len(listed) > 5 else "")
