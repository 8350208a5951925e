"""How a corpus that a user names becomes TFX's input configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.corpus_example_gen.corpus_path import output_config, resolve_corpus
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions

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
        ["training.jsonl", "evaluation.csv"],
        ["train.txt", "eval.csv"],
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
    assert resolved(tmp_path / "*/*.csv") == (str(tmp_path), {"all": "*/*.csv"})
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
