"""Which spans a corpus has, which are meant, and which files are theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.corpus_example_gen.corpus_path import resolve_corpus
from components.corpus_example_gen.files import choose_files, list_files
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.spans import choose_spans, spans_of, with_spans

OPTIONS = CorpusOptions()


def corpus_in(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def files_read(path: str, spans: tuple[int, ...]) -> dict[str, list[str]]:
    corpus, options = with_spans(resolve_corpus(path, OPTIONS), OPTIONS, spans)
    return {
        split.name: [
            file.name
            for file in choose_files(
                list_files(corpus.base, split.pattern), corpus.base, options
            )[0]
        ]
        for split in corpus.config.splits
    }


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("span-{SPAN}/*.jsonl", ["span-{}/a.jsonl", "span-{}/b.jsonl"]),
        ("span-{SPAN}.jsonl", ["span-{}.jsonl"]),
        ("day{SPAN}/part{SPAN}-?.csv", ["day{0}/part{0}-a.csv"]),
    ],
)
def test_the_files_of_spans(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for span in (1, 2, 10, 12):
        corpus_in(tmp_path, *(name.format(span) for name in names))
    path = f"{tmp_path}/{pattern}"
    assert list(spans_of(path, OPTIONS)) == [1, 2, 10, 12]
    for spans in ((2,), (1, 12), (1, 2, 10)):
        expected = sorted(name.format(span) for span in spans for name in names)
        assert files_read(path, spans) == {"all": expected}


@pytest.mark.parametrize(
    "pattern", ["{YYYY}-{MM}-{DD}/*.jsonl", "{YYYY}/{MM}/{YYYY}{MM}{DD}.jsonl"]
)
def test_days_are_spans(tmp_path: Path, pattern: str) -> None:
    names = {}
    for number, (year, month, day) in {
        20484: ("2026", "01", "31"),
        20485: ("2026", "02", "01"),
        20513: ("2026", "03", "01"),
    }.items():
        name = pattern.format(YYYY=year, MM=month, DD=day).replace("*", "a")
        names[number] = name
        corpus_in(tmp_path, name)
    corpus_in(tmp_path, pattern.format(YYYY="2026", MM="02", DD="30").replace("*", "a"))
    path = f"{tmp_path}/{pattern}"
    there = spans_of(path, OPTIONS)
    assert there == {20484: "2026-01-31", 20485: "2026-02-01", 20513: "2026-03-01"}
    assert choose_spans("2026-02-01", there) == (20485,)
    assert choose_spans("latest:2", there) == (20485, 20513)
    with pytest.raises(CorpusInputError, match="--span expects"):
        choose_spans("2026-02-30", there)
    for spans in ((20485,), (20484, 20513)):
        assert files_read(path, spans) == {"all": sorted(names[span] for span in spans)}


def test_versions_are_told_but_not_chosen(tmp_path: Path) -> None:
    corpus_in(tmp_path, "span-1/v1/a.csv", "span-1/v2/a.csv", "span-3/v1/a.csv")
    path = f"{tmp_path}/span-{{SPAN}}/v{{VERSION}}/*.csv"
    assert list(spans_of(path, OPTIONS)) == [1, 3]
    with pytest.raises(
        CorpusInputError,
        match=r"Spans of a corpus with \{VERSION\} in its path cannot be chosen",
    ):
        files_read(path, (3,))


def test_a_folder_keeps_its_splits(tmp_path: Path) -> None:
    for span in ("01", "02", "11"):
        corpus_in(tmp_path, f"span-{span}/train.csv", f"span-{span}/eval.csv")
    path = f"{tmp_path}/span-{{SPAN:2}}"
    assert spans_of(path, OPTIONS) == {1: "01", 2: "02", 11: "11"}
    assert files_read(path, (2, 11)) == {
        "train": ["span-02/train.csv", "span-11/train.csv"],
        "eval": ["span-02/eval.csv", "span-11/eval.csv"],
    }


def test_of_one_span_the_pattern_has_no_others(tmp_path: Path) -> None:
    corpus_in(tmp_path, "span-1/a.csv", "span-2/a.csv")
    corpus, options = with_spans(
        resolve_corpus(f"{tmp_path}/span-{{SPAN}}/*.csv", OPTIONS), OPTIONS, (2,)
    )
    assert corpus.config.splits[0].pattern == "span-2/*.csv"
    assert options == OPTIONS


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("latest", (7,)),
        ("latest:2", (5, 7)),
        ("latest:9", (2, 3, 4, 5, 7)),
        ("3", (3,)),
        ("2-5", (2, 3, 4, 5)),
    ],
)
def test_what_is_asked_for(asked: str, chosen: tuple[int, ...]) -> None:
    there = {span: str(span) for span in (2, 3, 4, 5, 7)}
    assert choose_spans(asked, there) == chosen


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "newest",
            "7, 5-7 or a day such as 2026-01-31. Received: 'newest'",
        ),
        ("latest:0", "--span expects"),
        ("6", "no span 6. Available spans: 2, 7"),
        ("2-4", "no span 3, 4. Available spans"),
        ("7-2", "no span 7-2"),
    ],
)
def test_what_is_not_there_is_said(asked: str, message: str) -> None:
    with pytest.raises(CorpusInputError, match=message):
        choose_spans(asked, {2: "2", 7: "7"})


def test_a_corpus_without_spans_has_none(tmp_path: Path) -> None:
    corpus_in(tmp_path, "a.csv")
    with pytest.raises(CorpusInputError, match=r"has no spans. Expected: \{SPAN\}"):
        spans_of(f"{tmp_path}/*.csv", OPTIONS)


def test_two_names_of_one_span_are_refused(tmp_path: Path) -> None:
    for name in ("span-2", "span-02"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").touch()
    with pytest.raises(CorpusInputError, match="mean span 2: 02 and 2"):
        spans_of(f"{tmp_path}/span-{{SPAN}}/*.csv", CorpusOptions())
    assert list(spans_of(f"{tmp_path}/span-{{SPAN:2}}/*.csv", CorpusOptions())) == [2]


def test_hidden_files_make_no_span(tmp_path: Path) -> None:
    for name in ("span-1/a.csv", "span-2/.a.csv", "span-2/_SUCCESS.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(spans_of(f"{tmp_path}/span-{{SPAN}}/*.csv", CorpusOptions())) == [1]
