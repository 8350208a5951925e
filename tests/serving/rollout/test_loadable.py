"""What is found missing in a version without loading it."""

from __future__ import annotations

from pathlib import Path

from serving.rollout.loadable import why_not_loadable


def test_what_a_version_lacks(tmp_path: Path) -> None:
    version = tmp_path / "1"
    version.mkdir()
    assert why_not_loadable(version) == (
        "saved_model.pb cannot be read: No such file or directory"
    )
    (version / "saved_model.pb").touch()
    assert why_not_loadable(version) == "saved_model.pb is empty"
    (version / "saved_model.pb").write_bytes(b"\x08\x01\x12\x05ab")
    assert why_not_loadable(version) == "saved_model.pb is no protocol buffer, or was cut off"
    (version / "saved_model.pb").write_bytes(b"\x08\x01\x12\x02ab")
    assert why_not_loadable(version) is None
    variables = version / "variables"
    variables.mkdir()
    assert why_not_loadable(version) is None
    (variables / "variables.data-00001-of-00002").touch()
    assert why_not_loadable(version) == "variables/variables.index is missing"
    (variables / "variables.index").touch()
    assert why_not_loadable(version) == "variables/ has 1 of 2 files variables.data-*"
    (variables / "variables.data-00000-of-00002").touch()
    assert why_not_loadable(version) is None
