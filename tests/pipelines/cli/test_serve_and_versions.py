"""`tallygraph serve` and `tallygraph versions`, as a person uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.layout import OutputLayout
from serving.engines import RunningServer, ServerFiles
from tests.support.warm_model_server import WarmEngine
from tokenizer.contract import MeteringRecord

ROOT = Path(__file__).parents[3]


def tallygraph(*arguments: str) -> tuple[int, str]:
    """Exit status, and what was printed with line breaks made spaces."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a version at the default place."""
    version = tmp_path / "build" / "serving" / "summarizer" / "1"
    version.mkdir(parents=True)
    # A message without a graph.
    (version / "saved_model.pb").write_bytes(b"\x08\x01")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("engine", ["docker", "binary"])
def test_the_guide_says_how_to_serve_as_the_command_does(pushed: Path, engine: str) -> None:
    status, line = tallygraph("serve", "--engine", engine, "--dry-run")
    assert status == 0
    guide = (ROOT / "docs/how-to/tensorflow-serving.md").read_text()
    guide = re.sub(r"\\\n\s*", "", guide)
    assert f".venv/bin/tallygraph serve --engine {engine} --dry-run\n{line}\n" in guide


def test_a_dry_run_says_what_batching_adds(pushed: Path) -> None:
    _, line = tallygraph("serve", "--engine", "binary", "--dry-run", "--max-batch-size", "16")
    assert "--enable_batching=true" in line
    assert '"--batching_parameters_file=$PWD/build/serving/batching_parameters.txt"' in line
    written = (pushed / "build/serving/batching_parameters.txt").read_text()
    assert "max_batch_size {\n  value: 16\n}" in written
    status, message = tallygraph("serve", "--dry-run", "--max-batch-size", "-1")
    assert (status, message) == (2, "error: max_batch_size must be at least 1. Received: -1")


def test_a_dry_run_knows_what_a_compiled_version_needs(pushed: Path) -> None:
    record = MeteringRecord(
        1, "words", "words", "f" * 64, 1, 8, 4, "", "run", (), "code", (1, 4), (16, 64)
    )
    record.save(pushed / "build/serving/summarizer/1")
    for engine in ("binary", "docker", "local"):
        _, line = tallygraph("serve", "--engine", engine, "--dry-run", "--max-batch-size", "4")
        assert "--xla_cpu_compilation_enabled=true" in line
    written = (pushed / "build/serving/batching_parameters.txt").read_text()
    assert written.count("allowed_batch_sizes") == 2
    status, message = tallygraph("serve", "--dry-run", "--max-batch-size", "8")
    assert status == 1
    assert "Expected: a max_batch_size of 1, 4" in message


def test_a_dry_run_for_a_gpu(pushed: Path) -> None:
    _, line = tallygraph("serve", "--engine", "docker", "--dry-run", "--gpu")
    assert "--gpus all --env=NVIDIA_TF32_OVERRIDE=0 --env=TF_FORCE_GPU_ALLOW" in line
    _, line = tallygraph("serve", "--engine", "binary", "--dry-run", "--gpu")
    assert line.startswith("env NVIDIA_TF32_OVERRIDE=0 TF_FORCE_GPU_ALLOW_GROWTH=true tensorfl")


def test_nothing_pushed_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, message = tallygraph("serve")
    assert status == 2
    assert message.startswith("error: build/serving/summarizer contains no version. Expected")
    assert "report" not in message
    report = OutputLayout(Path("build"), "summarizer").report_file
    report.parent.mkdir(parents=True)
    report.touch()
    _, message = tallygraph("serve")
    assert f"says what kept it back: {report}" in message
    status, message = tallygraph("versions", "list", "--offline")
    assert status == 2
    assert "Cannot read the model config" in message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the fixture model's versions 1 and 2; version 2 is the newest."""
    from tests.support.fixture_model import export

    base = tmp_path_factory.mktemp("cli") / "summarizer"
    for version in (1, 2):
        export(base, version)
    files = ServerFiles.write(base.parent / "models.config", "summarizer", base)
    with WarmEngine().start(files.spec(("summarizer",))) as server:
        server.wait_until_available(120)
        yield server


def test_versions_from_the_first_label_to_deletion(server: RunningServer) -> None:
    (folder,) = {path for path in server.spec.paths if path.name == "summarizer"}

    def versions(*arguments: str) -> tuple[int, str]:
        where = ("--model-dir", str(folder), "--server", server.grpc_address)
        return tallygraph("versions", *arguments, *where)

    status, table = versions("list")
    assert (status, table) == (
        0,
        f"version labels {server.grpc_address} 2 AVAILABLE 1",
    )
    assert versions("promote", "1") == (0, "stable: none -> 1")
    assert versions("label", "canary", "2") == (0, "canary: none -> 2")
    _, table = versions("list")
    assert table.endswith(" 2 canary AVAILABLE 1 stable AVAILABLE")
    assert versions("promote") == (0, "canary: 2 -> none previous: none -> 1 stable: 1 -> 2")
    assert versions("rollback") == (0, "previous: 1 -> none stable: 2 -> 1")
    status, message = versions("rollback")
    assert (status, message[:50]) == (2, "error: There is no previous version to roll back t")
    status, message = versions("promote", "7")
    assert (status, message[:35]) == (1, "error: There is no version 7 of sum")
    status, message = tallygraph("versions", "prune", "--model-dir", str(folder), "--keep", "1")
    assert (status, message) == (0, "deleted: nothing")


def test_no_server_there(pushed: Path) -> None:
    status, message = tallygraph("versions", "promote", "1", "--server", "127.0.0.1:1")
    assert status == 1
    assert "127.0.0.1:1 does not report the state of its versions (UNAVAILABLE" in message
    assert "Check that a model server is running there." in message
    assert tallygraph("versions", "promote", "1", "--offline") == (0, "stable: none -> 1")
