"""How a corpus that a user names becomes TFX's input configuration."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from components.corpus_example_gen.corpus_path import (
    as_one_split,
    output_config,
    resolve_corpus,
)
from components.corpus_example_gen.files import list_files
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.spans import spans_of
from components.corpus_example_gen.split_names import split_lines

OPTIONS = CorpusOptions()


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}\n")
    return root


def resolved(path: str | Path) -> tuple[str, dict[str, str]]:
    corpus = resolve_corpus(str(path), OPTIONS)
    return corpus.base, {split.name: split.pattern for split in corpus.config.splits}


def test_a_file_is_one_split(tmp_path: Path) -> None:
    touch(tmp_path, "pairs.jsonl", "odd [v1]*.csv")
    assert resolved(tmp_path / "pairs.jsonl") == (str(tmp_path), {"all": "pairs.jsonl"})
    base, patterns = resolved(tmp_path / "odd [v1]*.csv")
    assert (base, patterns) == (str(tmp_path), {"all": "odd [[]v1][*].csv"})


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["train.jsonl", "eval.jsonl", "corpus.json"], ("train[-._]*", "eval[-._]*")),
        (["train-00000-of-00001.parquet", "eval-1.csv"], ("train[-._]*", "eval[-._]*")),
        (["train/a.csv", "eval/b.csv"], ("train/*", "eval/*")),
        (
            ["Split-train/data_tfrecord-00000-of-00001.gz", "Split-eval/x.tfrecord"],
            ("Split-train/*", "Split-eval/*"),
        ),
    ],
)
def test_a_folder_with_train_and_eval_has_these_splits(
    tmp_path: Path, names: list[str], patterns: tuple[str, str]
) -> None:
    touch(tmp_path, *names)
    train, held_out = patterns
    assert resolved(tmp_path) == (str(tmp_path), {"train": train, "eval": held_out})
    corpus = resolve_corpus(f"{tmp_path}/", OPTIONS)
    assert corpus.has_splits
    assert not output_config(corpus, 0.1).split_config.splits


@pytest.mark.parametrize(
    "names",
    [
        ["a.jsonl"],
        ["train.jsonl"],
        ["train-1.jsonl", "training.jsonl", "train.log"],
        ["eval.csv"],
        ["contest.jsonl", "latest.csv", "devices.csv", "tests/unit.csv"],
    ],
)
def test_any_other_folder_is_divided_by_hash(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    assert resolved(tmp_path) == (str(tmp_path), {"all": "*"})
    divided = output_config(resolve_corpus(str(tmp_path), OPTIONS), 0.05).split_config
    assert divided.partition_feature_name == "document"
    assert {split.name: split.hash_buckets for split in divided.splits} == {
        "train": 9500,
        "eval": 500,
    }


def test_globs_and_spans_are_patterns_below_the_part_without_them(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.csv", "a/2.csv", "span-1/train.csv", "span-1/eval.csv")
    assert resolved(tmp_path / "a/*.csv") == (str(tmp_path / "a"), {"all": "*.csv"})
    assert resolved(tmp_path / "?/*.csv") == (str(tmp_path), {"all": "?/*.csv"})
    assert resolved(tmp_path / "span-{SPAN}") == (
        str(tmp_path),
        {"train": "span-{SPAN}/train[-._]*", "eval": "span-{SPAN}/eval[-._]*"},
    )
    assert resolved(tmp_path / "span-{SPAN}/train.csv") == (
        str(tmp_path),
        {"all": "span-{SPAN}/train.csv"},
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "Received: an empty path"),
        ("gone.jsonl", "does not exist"),
        ("gone-*.jsonl", "Received: no file at all"),
        ("texts", r"no file that can be read.*Received: .*notes\.txt"),
        ("day-{SPAN}", "Received: no file at all"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, path: str, message: str) -> None:
    touch(tmp_path, "texts/notes.txt")
    with pytest.raises(CorpusInputError, match=message):
        resolve_corpus(f"{tmp_path}/{path}" if path else "", OPTIONS)


def test_a_stated_format_reads_files_of_any_name(tmp_path: Path) -> None:
    touch(tmp_path, "texts/notes.txt")
    corpus = resolve_corpus(str(tmp_path / "texts"), CorpusOptions(format="jsonl"))
    assert corpus.config.splits[0].pattern == "*"


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0])
def test_a_fraction_that_leaves_a_split_empty_is_refused(
    tmp_path: Path, fraction: float
) -> None:
    corpus = resolve_corpus(str(touch(tmp_path, "a.jsonl")), OPTIONS)
    with pytest.raises(CorpusInputError, match="between 0 and 1"):
        output_config(corpus, fraction)


def test_a_corpus_of_three_splits_keeps_its_test_set_apart(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train-00000-of-00001-a1b2c3d4e5f60718.parquet",
        "Validation.csv",
        "test.jsonl.gz",
        "notes.csv",
        "LICENSE.txt",
    )
    corpus = resolve_corpus(str(tmp_path), OPTIONS)
    assert resolved(tmp_path)[1] == {"train": "train[-._]*", "eval": "Validation[-._]*"}
    assert corpus.test == "test[-._]*"
    assert corpus.files == {
        "train": ["train-00000-of-00001-a1b2c3d4e5f60718.parquet"],
        "eval": ["Validation.csv"],
        "test": ["test.jsonl.gz"],
    }
    assert corpus.left_out == ["notes.csv"]
    as_test = as_one_split(corpus, "eval").config.splits
    assert {split.name: split.pattern for split in as_test} == {"eval": "test[-._]*"}


def test_without_validation_rows_some_of_train_are_held_out(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.csv", "test/b.csv")
    corpus = resolve_corpus(str(tmp_path), OPTIONS)
    assert resolved(tmp_path)[1] == {"all": "train/*"}
    assert corpus.test == "test/*"
    assert len(output_config(corpus, 0.05).split_config.splits) == 2


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "eval", "DEV"])
def test_every_name_of_the_split_that_chooses_the_checkpoint(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train.csv", f"{name}.csv")
    assert resolved(tmp_path)[1] == {"train": "train[-._]*", "eval": f"{name}[-._]*"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cnn_train.csv", "cnn_test.csv"], r"cnn_test.csv \(like test\)"),
        (["training.csv", "evaluation.csv"], r"evaluation.csv \(like eval\)"),
        (["train.csv", "test_old.csv"], r"test_old.csv \(like test\)"),
        (["train.csv", "my-test/a.csv"], r"my-test/a.csv \(like test\)"),
        (["train.csv", "val.csv", "dev.csv"], "mean the eval split: dev.csv, val.csv"),
        (["train.csv", "train/a.csv", "test.csv"], "mean the train split"),
        (["test.csv", "validation.csv"], "none to train on: test.csv, validation.csv"),
        (["test.csv", "a.csv"], "none to train on"),
        (["train.txt", "eval.csv"], "train.txt in .* cannot be read"),
    ],
)
def test_names_that_only_half_tell_a_split_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    touch(tmp_path, *names)
    with pytest.raises(CorpusInputError, match=message):
        resolve_corpus(str(tmp_path), OPTIONS)


@pytest.mark.parametrize("pattern", ["*.csv", "*", "*/*.csv"])
def test_a_glob_of_several_splits_is_refused(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "train-1.csv", "test-1.csv", "train/a.csv", "dev/a.csv")
    with pytest.raises(CorpusInputError, match="takes files of several splits"):
        resolve_corpus(f"{tmp_path}/{pattern}", OPTIONS)
    assert resolved(f"{tmp_path}/test-*.csv")[1] == {"all": "test-*.csv"}


def test_splits_of_spans(tmp_path: Path) -> None:
    touch(tmp_path, "span-1/train.csv", "span-1/test.csv", "span-2/train-0.csv")
    corpus = resolve_corpus(f"{tmp_path}/span-{{SPAN}}", OPTIONS)
    assert {split.name: split.pattern for split in corpus.config.splits} == {
        "all": "span-{SPAN}/train[-._]*"
    }
    assert corpus.test == "span-{SPAN}/test[-._]*"


def test_what_is_used_for_what_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "dev.csv", "test.csv", "notes.csv")
    corpus = resolve_corpus(str(tmp_path), OPTIONS)
    assert split_lines(corpus.files, corpus.left_out, "") == [
        "to train on: train.csv",
        "to choose the best step: dev.csv",
        "test set: test.csv",
        "not read: notes.csv",
    ]
    assert split_lines(corpus.files, corpus.left_out, "frozen.csv")[2:] == [
        "test set: frozen.csv, as corpus.test_path says",
        "not read: test.csv, notes.csv",
    ]
    (tmp_path / "dev.csv").unlink()
    corpus = resolve_corpus(str(tmp_path), OPTIONS)
    assert split_lines(corpus.files, corpus.left_out, "")[1] == (
        "to choose the best step: a share of the documents to train on"
    )
    assert split_lines({}, [], "") == []


@pytest.mark.parametrize("folder", ["news [2026]", "50% of {all}", "a*b?", "新聞 ü", "x#y&z"])
def test_folders_of_any_name(tmp_path: Path, folder: str) -> None:
    where = touch(tmp_path / folder / "within", "train.csv", "dev.csv")
    for path in (where, where / "train.csv", f"{where}/t*.csv"):
        corpus = resolve_corpus(str(path), OPTIONS)
        for split in corpus.config.splits:
            found = list_files(corpus.base, split.pattern)
            assert found
            assert {Path(file).parent for file in found} == {where}
            # TFX takes the whole for a pattern.
            assert glob.escape(corpus.base) == corpus.base
    touch(where, "span-3/a.csv")
    assert spans_of(f"{where}/span-{{SPAN}}/*.csv", OPTIONS) == {3: "3"}


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to("gone.csv")
    with pytest.raises(CorpusInputError, match=r"b.csv is a link to gone.csv, which does not"):
        resolve_corpus(str(tmp_path), OPTIONS)
