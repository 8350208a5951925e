"""ChampionLookup: a copy of the registered champion, or word that there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from components.champion_lookup.component import ChampionLookup
from components.champion_lookup.executor import ChampionError, Executor, is_absent
from components.model_registry import RegistryError, open_registry
from components.model_registry.port import CHAMPION, PREVIOUS
from tests.support.empty_registry import lay_registry


@pytest.fixture
def registry_uri(tmp_path: Path) -> str:
    return lay_registry(tmp_path / "registry.sqlite")


def saved_model(folder: Path, content: str) -> str:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "variables.index").write_text(content)
    return str(folder)


def looked_up(registry_uri: str, folder: Path) -> Artifact:
    component = ChampionLookup(registry_uri=registry_uri, model_name="summarizer")
    model = standard_artifacts.Model()
    model.uri = str(folder)
    Executor().Do({}, {"model": [model]}, dict(component.exec_properties))
    return model


def test_the_champion_is_copied_and_named(tmp_path: Path, registry_uri: str) -> None:
    registry = open_registry(registry_uri)
    for content in ("first", "second", "third"):
        uri = saved_model(tmp_path / "models" / content, content)
        registry.register("summarizer", uri, {}, {})
    registry.set_aliases("summarizer", {CHAMPION: 2, PREVIOUS: 1})

    model = looked_up(registry_uri, tmp_path / "out")

    copied = Path(path_utils.serving_model_path(model.uri))
    assert (copied / "saved_model.pb").read_text() == "second"
    assert (copied / "variables" / "variables.index").read_text() == "second"
    assert not is_absent(model)
    assert model.get_string_custom_property("registered_name") == "summarizer"
    assert model.get_int_custom_property("registered_version") == 2


def test_a_registry_without_a_champion_gives_an_absent_model(
    tmp_path: Path, registry_uri: str
) -> None:
    model = looked_up(registry_uri, tmp_path / "out")
    assert is_absent(model)
    # An object store keeps no empty folder.
    assert any(Path(model.uri).iterdir())


def test_a_champion_whose_files_are_gone_is_an_error(tmp_path: Path, registry_uri: str) -> None:
    registry = open_registry(registry_uri)
    registry.register("summarizer", "/minio/gone/with/the/pod", {}, {})
    registry.set_aliases("summarizer", {CHAMPION: 1})

    with pytest.raises(ChampionError, match=r"/minio/gone/with/the/pod.*no saved_model.pb"):
        looked_up(registry_uri, tmp_path / "out")


def test_no_registry_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="sqlite:///"):
        looked_up("", tmp_path / "out")
