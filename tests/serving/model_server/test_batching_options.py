"""BatchingParameters: TensorFlow Serving's defaults, and wrong values refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.model_server.batching_options import (
    BatchingOptions,
    read_batching_options,
    read_model_batching_options,
)
from serving.model_server.errors import ServingError


def options_of(tmp_path: Path, text: str) -> BatchingOptions:
    path = tmp_path / "batching.config"
    path.write_text(text)
    return read_batching_options(str(path))


def test_the_defaults_are_tensorflow_servings(tmp_path: Path) -> None:
    expected = BatchingOptions(
        max_batch_size=1000,
        batch_timeout_micros=0,
        max_enqueued_batches=10,
        num_batch_threads=os.cpu_count() or 1,
        thread_pool_name="model_server_batch_threads",
        allowed_batch_sizes=(),
        pad_variable_length_inputs=False,
    )
    assert read_batching_options("") == expected
    # A file that names no pool gets another one, there as here.
    assert options_of(tmp_path, "") == BatchingOptions(thread_pool_name="batch_threads")


def test_every_field_is_read(tmp_path: Path) -> None:
    text = """
        max_batch_size { value: 8 } batch_timeout_micros { value: 5000 }
        max_enqueued_batches { value: 3 } num_batch_threads { value: 2 }
        thread_pool_name { value: "pool" } allowed_batch_sizes: 2 allowed_batch_sizes: 8
        pad_variable_length_inputs: true
    """
    assert options_of(tmp_path, text) == BatchingOptions(8, 5000, 3, 2, "pool", (2, 8), True)


@pytest.mark.parametrize(
    ("rows", "size"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8)], ids=str
)
def test_a_batch_is_padded_to_the_next_allowed_size(rows: int, size: int) -> None:
    options = BatchingOptions(max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    assert options.padded_size(rows) == size
    assert BatchingOptions().padded_size(rows) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        (
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros must be non-negative; was -1",
        ),
        (
            "max_enqueued_batches { value: -1 }",
            "max_enqueued_batches must be non-negative; was -1",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 4 "
            "allowed_batch_sizes: 8",
            "allowed_batch_sizes entries must be monotonically increasing; were 4, 4, 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 0 allowed_batch_sizes: 8",
            "allowed_batch_sizes must be positive; first was 0",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
        ("max_batch_sise { value: 8 }", "is not a text proto of a BatchingParameters"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ServingError) as refused:
        options_of(tmp_path, text)
    assert message in refused.value.message
    assert str(tmp_path / "batching.config") in refused.value.message


def test_a_versions_own_parameters_leave_the_threads_alone(tmp_path: Path) -> None:
    common = BatchingOptions(max_batch_size=64, num_batch_threads=3, thread_pool_name="all")
    assert read_model_batching_options(tmp_path, common) is None
    (tmp_path / "batching_params.pbtxt").write_text(
        "max_batch_size { value: 16 } num_batch_threads { value: 9 } "
        'thread_pool_name { value: "x" }'
    )
    own = read_model_batching_options(tmp_path, common)
    assert own == BatchingOptions(
        max_batch_size=16, num_batch_threads=3, thread_pool_name="all"
    )


def test_the_program_does_not_start_with_wrong_parameters(tmp_path: Path) -> None:
    path = tmp_path / "batching.config"
    path.write_text("num_batch_threads { value: 0 }")
    command = [sys.executable, "-m", "serving.model_server.main", "--model_base_path=/models"]
    done = subprocess.run(
        [*command, "--enable_batching", f"--batching_parameters_file={path}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert (
        f"Failed to start server. Error: INVALID_ARGUMENT: {path}: num_batch_threads must be "
        "positive; was 0"
    ) in done.stderr
