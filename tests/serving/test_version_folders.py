"""What else may lie in a folder of versions, and what a version's folder may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.version_folders import (
    complete_versions,
    numbered_folders,
    version_folder,
    version_number,
)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("1", 1),
        ("0000000001", 1),
        ("1795582584", 1795582584),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("20261127071755777050", None),
        ("0", None),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("٣", None),
        ("1²", None),
        (".deleted-3", None),
    ],
)
def test_names_that_a_server_takes_for_a_version(name: str, number: int | None) -> None:
    assert version_number(name) == number


def test_a_version_is_its_folder(tmp_path: Path) -> None:
    for name in ("0002", "10", "3", "20261127071755777050", "notes", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "10" / "saved_model.pb").touch()
    (tmp_path / "0002" / "saved_model.pb").touch()

    assert list(numbered_folders(tmp_path)) == [2, 3, 10]
    assert complete_versions(tmp_path) == {2: tmp_path / "0002", 10: tmp_path / "10"}
    assert version_folder(tmp_path, 2) == tmp_path / "0002"
    assert version_folder(tmp_path, 4) == tmp_path / "4"
    assert complete_versions(tmp_path / "gone") == {}
    assert version_folder(tmp_path / "gone", 4) == tmp_path / "gone" / "4"
