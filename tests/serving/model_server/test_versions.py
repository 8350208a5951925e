"""What counts as a version on disk, and which versions a policy asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from serving.model_server.versions import aspired_versions, versions_on_disk


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("1", "2", "10", "007", "0", "-3", "v4", "5.tmp", ".6", "99999999999999999999"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "11").mkdir()  # still being written
    (tmp_path / "12").write_text("not a folder")
    return tmp_path


def aspired(base: Path, policy: str) -> list[int]:
    config = ModelConfig(name="m", base_path=str(base))
    text_format.Parse(policy, config)
    return sorted(aspired_versions(config))


def test_complete_folders_with_a_positive_number(base: Path) -> None:
    assert sorted(versions_on_disk(base)) == [1, 2, 7, 10]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [10]),
        ("model_version_policy { latest { num_versions: 2 } }", [7, 10]),
        ("model_version_policy { latest { num_versions: 0 } }", [10]),
        ("model_version_policy { all { } }", [1, 2, 7, 10]),
        ("model_version_policy { specific { versions: 2 versions: 5 } }", [2]),
    ],
)
def test_policies(base: Path, policy: str, expected: list[int]) -> None:
    assert aspired(base, policy) == expected


def test_a_version_written_again_is_told_apart(base: Path) -> None:
    before = versions_on_disk(base)[1].fingerprint
    (base / "1" / "saved_model.pb").write_bytes(b"another graph")
    assert versions_on_disk(base)[1].fingerprint != before


def test_a_missing_folder_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        versions_on_disk(tmp_path / "nothing")
