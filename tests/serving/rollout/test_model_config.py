"""The model config file: written whole, locked while it changes, wrong ones named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from google.protobuf import text_format

from serving.model_config import ModelConfigError, ModelConfigFile, model_of, serve_labelled


@pytest.fixture
def file(tmp_path: Path) -> ModelConfigFile:
    return ModelConfigFile(tmp_path / "serving" / "models.config")


def test_a_model_is_added_once_and_kept_as_it_is(file: ModelConfigFile, tmp_path: Path) -> None:
    assert file.add_model("a", tmp_path / "a") is True
    config = file.read()
    serve_labelled(model_of(config, "a"), {"stable": 3, "canary": 7})
    file.write(config)
    assert file.add_model("a", tmp_path / "a") is False
    assert file.add_model("b", tmp_path / "b") is True
    a, b = file.read().model_config_list.config
    assert list(a.model_version_policy.specific.versions) == [3, 7]
    assert dict(a.version_labels) == {"stable": 3, "canary": 7}
    assert (b.name, b.base_path, b.model_platform) == (
        "b",
        str(tmp_path / "b"),
        "tensorflow",
    )
    with pytest.raises(ModelConfigError, match=r"has the model a at .*/a\. Received: .*/b\."):
        file.add_model("a", tmp_path / "b")


def test_without_labels_the_newest_is_served(file: ModelConfigFile, tmp_path: Path) -> None:
    file.add_model("a", tmp_path)
    config = file.read()
    serve_labelled(model_of(config, "a"), {"stable": 3})
    serve_labelled(model_of(config, "a"), {})
    assert not model_of(config, "a").HasField("model_version_policy")


def test_a_reader_never_sees_half_a_file(file: ModelConfigFile, tmp_path: Path) -> None:
    file.add_model("a", tmp_path / "a")
    config = file.read()
    small = text_format.MessageToString(config)
    for number in range(2000):
        config.model_config_list.config.add(name=f"model-{number}", base_path="/models")
    large = text_format.MessageToString(config)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            file.path.parent.joinpath("other").touch()  # readers are not alone in the folder
            file.write(text_format.Parse(large, type(config)()))
            file.write(text_format.Parse(small, type(config)()))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = {len(file.path.read_text()) for _ in range(2000)}
    finally:
        stop.set()
        writer.join()
    assert seen <= {len(small), len(large)}
    assert len(list(file.path.parent.iterdir())) <= 2  # nothing half-written is left behind


def test_one_program_at_a_time_changes_it(file: ModelConfigFile) -> None:
    with (
        file.locked(),
        pytest.raises(ModelConfigError, match="is being changed by another program"),
        ModelConfigFile(file.path).locked(),
    ):
        pass
    with file.locked():
        pass


def test_wrong_files_are_named(file: ModelConfigFile, tmp_path: Path) -> None:
    with pytest.raises(ModelConfigError, match=r"Cannot read the model config .*\.config"):
        file.read()
    file.path.parent.mkdir()
    file.path.write_text("model_config_list { what: 1 }")
    with pytest.raises(ModelConfigError, match="not a text proto of a ModelServerConfig: 1:"):
        file.read()
    file.path.unlink()
    file.add_model("a", tmp_path)
    with pytest.raises(ModelConfigError, match=r"no model 'x'\. It has: \['a'\]"):
        model_of(file.read(), "x")
