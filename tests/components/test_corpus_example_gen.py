"""CorpusExampleGen in real TFX pipelines, for each format and with bad rows."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from components.corpus_example_gen.component import CorpusExampleGen
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from components.corpus_example_gen.report import CorpusCounts

PAIRS = [(f"Document number {n}: Grüße, 日本語.", f"Summary {n}.") for n in range(60)]


@dataclass(frozen=True)
class Run:
    """One run's Examples artifact."""

    uri: Path

    @property
    def counts(self) -> CorpusCounts:
        return CorpusCounts.load(str(self.uri))

    @property
    def rejects(self) -> list[dict[str, Any]]:
        text = (self.uri / "rejects.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def rows(self, split: str) -> list[tuple[str, ...]]:
        files = sorted(map(str, (self.uri / f"Split-{split}").glob("data_tfrecord-*.gz")))
        rows = []
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            assert sorted(features) == ["document", "id", "source", "summary"]
            values = [
                features[k].bytes_list.value for k in ("document", "summary", "id", "source")
            ]
            assert all(len(value) == 1 for value in values)
            rows.append(tuple(value[0].decode() for value in values))
        return rows

    def content(self) -> dict[str, bytes]:
        files = [path for path in self.uri.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.uri)): path.read_bytes() for path in files}


Runner = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs a pipeline of nothing but the component under test."""
    requirements = tmp_path / "requirements.txt"
    requirements.touch()

    def run_pipeline(
        path: Path | str,
        options: CorpusOptions | None = None,
        root: str = "root",
        **settings: Any,
    ) -> Run:
        example_gen = CorpusExampleGen(str(path), options, **settings)
        LocalDagRunner().run(
            Pipeline(
                "corpus-test",
                str(tmp_path / root),
                components=[example_gen],
                enable_cache=True,
                metadata_connection_config=(
                    sqlite_metadata_connection_config(str(tmp_path / root / "metadata.db"))
                ),
                beam_pipeline_args=[
                    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
                    f"--requirements_file={requirements}",
                ],
            )
        )
        executions = (tmp_path / root / "CorpusExampleGen" / "examples").iterdir()
        return Run(max(executions, key=lambda folder: int(folder.name)))

    return run_pipeline


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def as_rows(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {
            "document": document,
            "summary": summary,
            "id": document.partition(":")[0],
            "source": "test",
        }
        for document, summary in pairs
    ]


def write_example(writer: tf.io.TFRecordWriter, **features: bytes | list[bytes]) -> None:
    feature = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=value if isinstance(value, list) else [value])
        )
        for name, value in features.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    writer.write(example.SerializeToString())


def write_corpus(folder: Path, kind: str) -> None:
    """Sixty good rows in one format, in two files, and bad ones that the format allows."""
    folder.mkdir()
    half = [as_rows(PAIRS)[:30], as_rows(PAIRS)[30:]]
    if kind == "jsonl":
        write_jsonl(folder / "a.jsonl", half[0])
        path = write_jsonl(folder / "b.jsonl", half[1])
        path.write_bytes(
            path.read_bytes()
            + b'{"document": "\xff\xfe", "summary": "s"}\n{"summary": "s"}\nnot json\n'
        )
    elif kind == "csv":
        for name, rows in zip("ab", half, strict=True):
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        with (folder / "b.csv").open("ab") as stream:
            stream.write(b'"\xff\xfe",s,i,x\n,s,i,x\ntoo,few\n')
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(half[0]), folder / "a.parquet", row_group_size=7)
        bad = [{"document": None, "summary": "s"}, {"document": "d", "summary": " "}]
        bad.append({"document": "x" * 2000, "summary": "s"})
        pq.write_table(pa.Table.from_pylist(half[1] + bad), folder / "b.parquet")
    else:
        for name, rows in (("a.tfrecord", half[0]), ("b.tfrecord.gz", half[1])):
            compression = "GZIP" if name.endswith("gz") else ""
            with tf.io.TFRecordWriter(str(folder / name), compression) as writer:
                for row in rows:
                    write_example(writer, **{k: v.encode() for k, v in row.items()})
                if compression:
                    writer.write(b"no example at all")
                    write_example(writer, document=[b"two", b"values"], summary=b"s")
                    write_example(writer, document=b"\xff\xfe", summary=b"s")


BAD = {
    "jsonl": {"line is not UTF-8": 1, "document is missing": 1, "malformed JSON": 1},
    "csv": {"document is not UTF-8": 1, "document is empty": 1, "malformed CSV row": 1},
    "parquet": {"document is missing": 1, "summary is empty": 1, "document is too long": 1},
    "tfrecord": {
        "malformed tf.Example": 1,
        "document is not text": 1,
        "document is not UTF-8": 1,
    },
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_every_format_gives_the_same_examples_and_reports_its_bad_rows(
    kind: str, tmp_path: Path, run: Runner
) -> None:
    write_corpus(tmp_path / "corpus", kind)
    (tmp_path / "corpus" / "README.md").write_text("Not a corpus.")
    options = CorpusOptions(max_document_bytes=1000)
    result = run(tmp_path / "corpus", options, eval_fraction=0.3)

    expected = {(row["document"], row["summary"], row["id"], "test") for row in as_rows(PAIRS)}
    train, held_out = result.rows("train"), result.rows("eval")
    assert set(train) | set(held_out) == expected
    assert len(train) + len(held_out) == 60
    # The hash of the document decides, so that every format is divided alike.
    assert (len(train), len(held_out)) == (43, 17)

    counts = result.counts
    assert counts.rejected_by_reason == dict(sorted(BAD[kind].items()))
    assert (counts.rows, counts.rejected) == (63, 3)
    assert counts.used == {"train": 43, "eval": 17}
    assert [name.partition(".")[0] for name in counts.files_read] == ["a", "b"]
    assert counts.files_left_out == ["README.md"]
    assert sorted(row["reason"] for row in result.rejects) == sorted(BAD[kind])
    first_bad = {"jsonl": 31, "csv": 32, "parquet": 31, "tfrecord": 31}[kind]
    assert [row["row"] for row in result.rejects] == [first_bad + n for n in range(3)]
    assert {row["file"].partition(".")[0] for row in result.rejects} == {"b"}
    assert all(len(row["excerpt"]) <= 200 for row in result.rejects)


def test_given_splits_are_kept_and_a_second_run_writes_the_same_bytes(
    tmp_path: Path, run: Runner
) -> None:
    folder = tmp_path / "corpus"
    write_jsonl(folder / "train-1.jsonl", as_rows(PAIRS[:25]))
    write_jsonl(
        folder / "train-2.jsonl", [{"document": d, "summary": s} for d, s in PAIRS[25:50]]
    )
    write_jsonl(folder / "eval.jsonl", [*as_rows(PAIRS[50:]), {"document": "no summary"}])
    write_jsonl(folder / "other.jsonl", as_rows(PAIRS[:1]))

    result = run(folder)
    assert {row[0] for row in result.rows("train")} == {document for document, _ in PAIRS[:50]}
    assert {row[0] for row in result.rows("eval")} == {document for document, _ in PAIRS[50:]}
    defaults = [row for row in result.rows("train") if row[3] == "unknown"]
    assert len(defaults) == 25
    assert all(len(row[2]) == 64 for row in defaults)
    assert [row["file"] for row in result.rejects] == ["eval.jsonl"]

    # Within one pipeline the second run is cached; in another it writes the same bytes.
    assert run(folder).uri == result.uri
    again = run(folder, root="elsewhere")
    assert again.uri != result.uri
    assert again.content() == result.content()
    assert len(result.content()) == 4  # two splits and two reports, no left-over


def test_the_newest_span_is_read_and_edited_files_are_read_again(
    tmp_path: Path, run: Runner
) -> None:
    for span in (1, 2):
        write_jsonl(tmp_path / f"span-{span}" / "train.jsonl", as_rows(PAIRS[: 10 * span]))
        write_jsonl(tmp_path / f"span-{span}" / "eval.jsonl", as_rows(PAIRS[50:]))
    result = run(tmp_path / "span-{SPAN}")
    assert result.counts.used == {"train": 20, "eval": 10}
    write_jsonl(tmp_path / "span-2" / "train.jsonl", as_rows(PAIRS[:33]))
    edited = run(tmp_path / "span-{SPAN}")
    assert edited.counts.used == {"train": 33, "eval": 10}
    assert edited.uri != result.uri


def test_a_split_without_a_usable_row_ends_the_run_with_what_to_do(
    tmp_path: Path, run: Runner
) -> None:
    folder = tmp_path / "corpus"
    write_jsonl(folder / "train.jsonl", [{"text": "a", "headline": "b"}] * 5)
    write_jsonl(folder / "eval.jsonl", as_rows(PAIRS[:2]))
    with pytest.raises(CorpusInputError) as ended:
        run(folder)
    message = str(ended.value)
    for part in (
        "There is no usable row for train in",
        "Received: 7 rows: 0 in train, 2 in eval, 5 rejected: document is missing (5)",
        "name the fields in corpus.document_field",
        "train.jsonl, row 1: document is missing (no value for 'document'; fields: headline, ",
    ):
        assert part in message


def test_a_test_set_is_neither_trained_on_nor_validated_with(
    run: Runner, tmp_path: Path
) -> None:
    # Given a folder as `datasets` writes it
    folder = tmp_path / "corpus"
    of_split = {"train": PAIRS[:40], "validation": PAIRS[40:50], "test": PAIRS[50:]}
    for split, pairs in of_split.items():
        rows = pa.Table.from_pylist(as_rows(pairs))
        folder.mkdir(exist_ok=True)
        pq.write_table(rows, folder / f"{split}-00000-of-00001.parquet")

    # When it is read, and when its test set is
    read = run(folder)
    test_set = run(folder, root="test", split="eval")

    # Then every row is where its file says
    def documents(of: Run, split: str) -> set[str]:
        return {row[0] for row in of.rows(split)}

    assert documents(read, "train") == {document for document, _ in PAIRS[:40]}
    assert documents(read, "eval") == {document for document, _ in PAIRS[40:50]}
    assert documents(test_set, "eval") == {document for document, _ in PAIRS[50:]}
    assert read.counts.files_read == [
        "train-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]


def test_repeated_and_shared_documents_are_counted_and_said(
    run: Runner, tmp_path: Path
) -> None:
    folder = tmp_path / "corpus"
    write_jsonl(folder / "train.jsonl", as_rows([*PAIRS[:10], PAIRS[0], PAIRS[0], PAIRS[1]]))
    write_jsonl(folder / "dev.jsonl", [*as_rows(PAIRS[8:12]), {"document": "no summary"}])

    result = run(folder)

    assert result.counts.repeated == {"train": 3, "eval": 0}
    assert result.counts.shared == 2
    assert result.counts.lines("out") == [
        "18 rows: 13 for train, 4 for eval, 1 rejected",
        "rejected: summary is missing (1)",
        "each rejected row: out/rejects.jsonl",
        "duplicates: 3 rows for train have the document of another row",
        "duplicates: 2 documents are in more than one split, so the quality that is measured "
        "is not only that of unseen documents",
    ]


def test_a_packed_file_whose_name_is_in_capitals(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "PAIRS.JSONL.GZ"
    lines = "".join(json.dumps(row) + "\n" for row in as_rows(PAIRS))
    path.write_bytes(gzip.compress(lines.encode()))

    assert run(path).counts.rows == len(PAIRS)
