"""What pushed versions say that a server must be started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.engines import Batching, CompiledVersions, EngineError
from tokenizer.contract import MeteringRecord


def push(
    model_dir: Path, version: int, rows: tuple[int, ...] = (), widths: tuple[int, ...] = ()
) -> None:
    directory = model_dir / str(version)
    directory.mkdir(parents=True)
    MeteringRecord(
        1, "words", "words", "f" * 64, 1, 8, 4, "", "run", (), "code", rows, widths
    ).save(directory)


def test_a_model_that_is_not_compiled_needs_nothing(tmp_path: Path) -> None:
    push(tmp_path, 1)
    (tmp_path / "2").mkdir()  # a version of somebody else's
    (tmp_path / "notes").mkdir()
    compiled = CompiledVersions.of(tmp_path)
    assert compiled == CompiledVersions()
    assert not compiled.flags()
    assert compiled.batching(Batching(max_batch_size=24)) == Batching(max_batch_size=24)
    assert compiled.patience_s(60) == 60


def test_batches_have_the_sizes_of_the_newest_compiled_version(tmp_path: Path) -> None:
    push(tmp_path, 9, (1, 2), (16,))
    push(tmp_path, 10, (1, 4, 16), (64, 128))
    push(tmp_path, 11)
    compiled = CompiledVersions.of(tmp_path)
    assert compiled.flags() == {"xla_cpu_compilation_enabled": "true"}
    batching = compiled.batching(Batching(max_batch_size=16))
    assert batching.allowed_batch_sizes == (1, 4, 16)
    assert compiled.batching(Batching(max_batch_size=4)).allowed_batch_sizes == (1, 4)
    with pytest.raises(EngineError, match=r"1, 4, 16 \(export.row_buckets\). Received: 32"):
        compiled.batching(Batching(max_batch_size=32))
    # Whatever is served, each of its shapes is compiled before it is AVAILABLE.
    assert compiled.shapes == 2 * 1 + 3 * 2
    assert compiled.patience_s(60) == 60 + 30 * 8
