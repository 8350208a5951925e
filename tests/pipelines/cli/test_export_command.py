"""`tallygraph export litert`: what it writes, and what it says where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.checkpoints.keras_preset import DECODING_FILE
from pipelines.checkpoints.opening import CHECKPOINT_DIR
from pipelines.cli import app
from pipelines.config_sections import ExportConfig
from pipelines.edge.runtime import EdgeSummarizer
from tests.pipelines.edge.versions import NAME, corpus_of, plain_version, pushed_version


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_version("t5", tmp_path_factory)


def litert(*options: object) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": "300"})
    result = runner.invoke(app, ["export", "litert", *map(str, options)])
    return result.exit_code, result.output


def test_it_writes_one_file_and_says_what_it_holds(version: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    code, printed = litert(version, "-o", file)
    assert (code, printed.splitlines()[0]) == (
        0,
        f"written: {file}, 0.5 MB, weights float32, at most 30 tokens in and 12 out",
    )
    assert list(tmp_path.iterdir()) == [file]
    assert EdgeSummarizer(file).record.version == NAME

    code, printed = litert(version, "-o", file)
    assert code == 2
    assert f"{file} exists, and nothing is overwritten" in printed


@pytest.mark.long
def test_it_quantises_when_asked(version: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    code, printed = litert(version, "-o", file, "--quantise", "dynamic-range")
    assert code == 0 and "weights dynamic-range" in printed
    assert EdgeSummarizer(file).record.weights == "dynamic-range"

    code, printed = litert(version, "-o", tmp_path / "other.tflite", "--quantise", "int4")
    assert code == 2
    assert not (tmp_path / "other.tflite").exists()


@pytest.mark.long
def test_beams_have_to_be_given_up_by_name(version: Path, tmp_path: Path) -> None:
    # The weights know of no search: what is kept beside them says how they were decoded.
    beams = Path(shutil.copytree(version, tmp_path / "beams" / NAME))
    decoding = beams / CHECKPOINT_DIR / DECODING_FILE
    decoding.write_text(json.dumps(json.loads(decoding.read_text()) | {"num_beams": 2}))
    file = tmp_path / "model.tflite"
    code, printed = litert(beams, "-o", file)
    assert code == 2
    assert "searches with 2 beams" in printed and "--greedy" in printed
    code, printed = litert(beams, "-o", file, "--greedy")
    assert code == 0
    assert "summaries and output tokens differ, input tokens do not" in printed


@pytest.mark.long
def test_an_int8_export_is_refused(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = ExportConfig(xla=True, weights="int8", row_buckets=(1,))
    quantised = pushed_version("t5", corpus_of("t5", tmp_path_factory), tmp_path, settings)
    code, printed = litert(quantised, "-o", tmp_path / "model.tflite")
    assert code == 2
    assert "is an int8 export" in printed and "--quantise dynamic-range" in printed
    assert not (tmp_path / "model.tflite").exists()


def test_what_is_no_version_is_said(version: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    for folder in (tmp_path / "none", tmp_path, version / "assets.extra"):
        code, printed = litert(folder, "-o", file)
        assert code == 2
        assert f"{folder} is not a version" in printed and "Traceback" not in printed
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "saved_model.pb").write_bytes(b"")
    code, printed = litert(bare, "-o", file)
    assert code == 2
    assert "does not say what it counts with" in printed and "metering.json" in printed
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_said(version: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder, why in (("none", "No such file"), ("file", "Not a directory")):
        code, printed = litert(version, "-o", tmp_path / folder / "model.tflite")
        assert code == 2
        assert "cannot be written" in printed and why in printed
