"""Old versions are deleted, and those that something asks for are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serving.model_config import ModelConfigError, ModelConfigFile
from serving.rollout import ModelServers, Rollout, RolloutError, prune


@pytest.fixture
def many_versions(tmp_path: Path, fixture_base: Path) -> Path:
    folder = tmp_path / "many" / "fixture"
    for version in range(1, 9):
        shutil.copytree(fixture_base / "1", folder / str(version))
    return folder


def test_old_versions_are_deleted_but_never_a_labelled_one(many_versions: Path) -> None:
    config = ModelConfigFile(many_versions.parent / "models.config")
    config.add_model("fixture", many_versions)
    rollout = Rollout(config, "fixture", ModelServers([]))
    rollout.promote(1)
    rollout.promote(3)
    rollout.label("canary", 5)
    (many_versions / ".deleted-0").mkdir()  # of a deletion that was killed
    assert prune(config, "fixture", many_versions, keep=2) == [2, 4, 6]
    assert sorted(path.name for path in many_versions.iterdir()) == ["1", "3", "5", "7", "8"]
    assert prune(config, "fixture", many_versions, keep=2) == []
    with pytest.raises(ModelConfigError, match=r"Nothing was deleted\."):
        prune(config, "fixture", many_versions.parent, keep=2)
    with pytest.raises(RolloutError, match="keep must be at least 1"):
        prune(config, "fixture", many_versions, keep=0)


def test_what_the_version_policy_asks_for_is_kept(many_versions: Path) -> None:
    config = ModelConfigFile(many_versions.parent / "models.config")
    config.add_model("fixture", many_versions)
    asked = config.read()
    (model,) = asked.model_config_list.config
    model.model_version_policy.latest.num_versions = 4
    config.write(asked)
    assert prune(config, "fixture", many_versions, keep=1) == [1, 2, 3, 4]
    model.model_version_policy.all.SetInParent()
    config.write(asked)
    assert prune(config, "fixture", many_versions, keep=1) == []


def test_without_a_model_config_the_newest_are_kept(many_versions: Path) -> None:
    config = ModelConfigFile(many_versions.parent / "models.config")
    assert prune(config, "fixture", many_versions, keep=3) == [1, 2, 3, 4, 5]
    assert not config.path.exists()
