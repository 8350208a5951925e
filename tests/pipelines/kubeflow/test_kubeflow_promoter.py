"""A registered model is copied to the volume: whole, once, by its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.utils import path_utils

from pipelines.kubeflow.promoter.executor import keep


def model(folder: Path, content: str) -> Path:
    (folder / "assets").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "assets" / "words").write_text("a b")
    return folder


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    kept = keep(model(tmp_path / "one", "1"), volume)
    assert keep(model(tmp_path / "copy", "1"), volume) == kept
    assert keep(model(tmp_path / "two", "2"), volume) != kept

    assert Path(path_utils.serving_model_path(str(kept)), "assets", "words").is_file()
    assert len(list(volume.iterdir())) == 2


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.write_text("no folder")
    with pytest.raises(OSError):
        keep(model(tmp_path / "one", "1"), volume)
    assert volume.read_text() == "no folder"
