"""A LiteRT file writes what its version writes, and counts what its version counts."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.edge.exporting import EdgeError, export_litert
from pipelines.edge.record import DYNAMIC_RANGE, FLOAT32, RECORD_FILE, EdgeRecord
from pipelines.edge.runtime import EdgeSummarizer
from tests.pipelines.edge.versions import NAME, corpus_of, plain_version, pushed_version
from tests.pipelines.training.training_runs import TransformedCorpus
from tests.pipelines.transformed_corpus import pairs
from tokenizer.contract import ContractError, MeteredSummary
from tokenizer.hard_texts import FIXED_HARD_TEXTS

pytestmark = pytest.mark.long  # a file takes half a minute to write

LIMITS = (0, -1, 1, 3, 11, 12, 100)
# What is cut off, and what is not; every text of the corpus, and those that are hard to count.
TEXTS = [
    *(row["document"] for row in pairs()),
    *(text for text in FIXED_HARD_TEXTS.values() if len(text) < 20_000),
    b"Returned " * 60,
]
Exported = tuple[Path, Path]


@pytest.fixture(scope="module", params=["t5", "bart"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def corpus(kind: str, tmp_path_factory: pytest.TempPathFactory) -> TransformedCorpus:
    return corpus_of(kind, tmp_path_factory)


@pytest.fixture(scope="module")
def exported(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A version and its file."""
    version = plain_version(kind, tmp_path_factory)
    file = tmp_path_factory.mktemp("exported") / "model.tflite"
    export_litert(version, file)
    return version, file


def answers(version: Path, texts: list[bytes], limit: int) -> list[MeteredSummary]:
    """What the version's SavedModel says."""
    columns = loaded(version).signatures["summarize"](
        text=tf.constant(texts),
        max_output_tokens=tf.fill([len(texts)], limit),
    )
    values = {name: column.numpy().tolist() for name, column in columns.items()}
    return [
        MeteredSummary.from_row({name: text_of(column[i]) for name, column in values.items()})
        for i in range(len(texts))
    ]


@functools.cache
def loaded(version: Path) -> Any:
    return tf.saved_model.load(str(version))


def text_of(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("limit", LIMITS)
def test_summaries_and_counts_are_the_versions(exported: Exported, limit: int) -> None:
    version, file = exported
    summarizer = EdgeSummarizer(file)
    different: list[object] = []
    decided_otherwise = 0
    expected = answers(version, TEXTS, limit)
    for text, own in zip(TEXTS, expected, strict=True):
        found = summarizer.summarize(text, limit)
        assert found.input_tokens == own.input_tokens
        assert found.truncated_tokens == own.truncated_tokens
        if found == own:
            continue
        if summarizer.generate(summarizer.tokenizer.encode(text), limit)[1]:
            decided_otherwise += 1
        else:
            different.append((text, found, own))
    assert different == []
    assert decided_otherwise <= 2
    if limit == 0:  # the texts are worth comparing: both endings, several lengths
        assert {each.finish_reason for each in expected} == {"stop", "length"}
        assert len({each.output_tokens for each in expected}) > 3
        assert any(each.truncated_tokens for each in expected)


def test_rules_hold(kind: str, exported: Exported) -> None:
    summarizer = EdgeSummarizer(exported[1])
    record = summarizer.record
    size = {"t5": 3, "bart": 2}[kind]
    for text in TEXTS:
        ids = summarizer.generate(summarizer.tokenizer.encode(text))[0].tolist()
        own = ids[: ids.index(record.eos_id)] if record.eos_id in ids else ids
        runs = [tuple(own[i : i + size]) for i in range(len(own) - size + 1)]
        assert len(runs) == len(set(runs))
        if kind == "t5":
            assert len(own) >= 2
        else:
            assert 40 not in own
            assert (50, 51) not in {tuple(own[i : i + 2]) for i in range(len(own))}
            assert own[:1] != [summarizer.tokenizer.bos_id]


def test_the_file_says_what_it_counts_with(kind: str, exported: Exported) -> None:
    version, file = exported
    of_version = json.loads((version / "assets.extra/metering.json").read_text())
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        own = json.loads(archive.read(RECORD_FILE))
        names = archive.namelist()
        stored = {name: archive.read(name) for name in names if name.startswith("tokenizer/")}
    assert (
        own.items()
        >= {
            name: value for name, value in of_version.items() if not name.startswith("xla")
        }.items()
    )
    assert (own["version"], own["weights"]) == (NAME, FLOAT32)
    assert own["num_beams_of_version"] == 1
    folder = version / "assets.extra/tokenizer"
    assert stored
    for name, content in stored.items():
        assert (folder / name.removeprefix("tokenizer/")).read_bytes() == content


def test_only_built_in_ops_are_used(exported: Exported) -> None:
    from ai_edge_litert.interpreter import Interpreter

    # Refuses what it has no kernel for; of Flex and custom ops it has none.
    interpreter = Interpreter(model_path=str(exported[1]))
    signatures = interpreter.get_signature_list()
    assert signatures == {
        "generate": {
            "inputs": ["input_ids", "max_output_tokens"],
            "outputs": ["in_doubt", "output_ids"],
        }
    }


def test_the_runtime_needs_no_tensorflow(exported: Exported) -> None:
    program = (
        "import sys\n"
        "from pipelines.edge.runtime import EdgeSummarizer\n"
        "print(EdgeSummarizer(sys.argv[1]).summarize('Then the size is returned.'))\n"
        "heavy = {'tensorflow', 'keras', 'keras_hub', 'tfx', 'pipelines.models'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(exported[1])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = EdgeSummarizer(exported[1]).summarize("Then the size is returned.")
    assert done.stdout.strip() == str(found)


def test_dynamic_range_is_smaller_and_counts_input_alike(
    exported: Exported, tmp_path: Path
) -> None:
    version, file = exported
    small = tmp_path / "small.tflite"
    record = export_litert(version, small, weights=DYNAMIC_RANGE)
    assert record.weights == DYNAMIC_RANGE
    assert model_bytes(small) < model_bytes(file)
    plain, quantised = EdgeSummarizer(file), EdgeSummarizer(small)
    assert asdict(quantised.record) == asdict(plain.record) | {"weights": DYNAMIC_RANGE}
    for text in TEXTS:
        one, other = plain.summarize(text), quantised.summarize(text)
        assert one.input_tokens == other.input_tokens
        assert one.truncated_tokens == other.truncated_tokens
        ids = quantised.generate(quantised.tokenizer.encode(text))[0]
        written = ids[ids != record.pad_id].tolist()
        assert other.output_tokens == len(written) - (record.eos_id in written)


def model_bytes(file: Path) -> int:
    """Bytes before the archive."""
    with zipfile.ZipFile(file) as archive:
        return min(each.header_offset for each in archive.infolist())


def test_a_version_with_beams_is_refused_or_exported_greedily(
    kind: str, corpus: TransformedCorpus, exported: Exported, tmp_path: Path
) -> None:
    beams = pushed_version(kind, corpus, tmp_path, num_beams=3)
    file = tmp_path / "model.tflite"
    with pytest.raises(EdgeError, match=r"searches with 3 beams.*--greedy"):
        export_litert(beams, file)
    assert list(tmp_path.glob("*model.tflite*")) == []

    record = export_litert(beams, file, greedy=True)

    assert record.num_beams_of_version == 3
    # The weights are the same, so the greedy version is what it equals.
    own, expected = EdgeSummarizer(file), EdgeSummarizer(exported[1])
    assert [own.summarize(text) for text in TEXTS[:20]] == [
        expected.summarize(text) for text in TEXTS[:20]
    ]


def test_another_tokenizer_is_refused(exported: Exported, tmp_path: Path) -> None:
    _, file = exported
    changed = tmp_path / "changed.tflite"
    record = EdgeSummarizer(file).record
    other = json.loads(record.to_json()) | {"tokenizer_fingerprint": "0" * 64}
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(changed, "w") as copy:
        for name in archive.namelist():
            content = json.dumps(other) if name == RECORD_FILE else archive.read(name)
            copy.writestr(name, content)
    with pytest.raises(ContractError, match="not the one that its counts are made with"):
        EdgeSummarizer(changed)


def test_an_unknown_contract_is_refused(exported: Exported) -> None:
    record = json.loads(EdgeSummarizer(exported[1]).record.to_json())
    with pytest.raises(ContractError, match=r"contract 2\. Expected: 1"):
        EdgeRecord.from_json(json.dumps(record | {"contract_version": 2}), "model.tflite")
    with pytest.raises(ContractError, match="lacks version"):
        EdgeRecord.from_json(
            json.dumps({k: v for k, v in record.items() if k != "version"}), "model.tflite"
        )


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(b"TFL3 and no archive")
    with pytest.raises(ContractError, match="tallygraph export litert"):
        EdgeSummarizer(other)
    with pytest.raises(ContractError, match=r"missing\.tflite cannot be used"):
        EdgeSummarizer(tmp_path / "missing.tflite")


def test_ids_past_the_limit_and_behind_eos_are_not_counted(exported: Exported) -> None:
    summarizer = EdgeSummarizer(exported[1])
    record = summarizer.record
    written = np.full(record.max_output_tokens, record.pad_id, np.int32)
    written[:4] = [20, 21, record.eos_id, 22]
    ids = list(range(20, 60))

    whole = summarizer.count(ids, written, 0)
    cut = summarizer.count(ids, written, 2)
    none = summarizer.count(ids, written, -1)

    assert (whole.output_tokens, whole.finish_reason) == (2, "stop")
    assert (cut.output_tokens, cut.finish_reason) == (2, "length")
    assert (none.output_tokens, none.summary, none.finish_reason) == (0, "", "length")
    assert {(each.input_tokens, each.truncated_tokens) for each in (whole, cut, none)} == {
        (30, 10)
    }
