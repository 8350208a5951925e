"""Config files: text protos, with TensorFlow Serving's own complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.model_server.config import (
    check_model_config,
    read_metrics_path,
    read_model_config,
    single_model_config,
)
from serving.model_server.errors import ServingError

MODEL = 'config { name: "%s" base_path: "%s" model_platform: "%s" }'


def complaint(tmp_path: Path, *models: tuple[str, str, str]) -> str:
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ {' '.join(MODEL % model for model in models)} }}")
    with pytest.raises(ServingError) as refused:
        check_model_config(read_model_config(str(path)))
    return refused.value.message


def test_a_single_model_is_a_config_too() -> None:
    config = single_model_config("summarizer", "/models/summarizer")
    check_model_config(config)
    (model,) = config.model_config_list.config
    assert (model.name, model.model_platform) == ("summarizer", "tensorflow")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            [("a", "/a", "tensorflow"), ("a", "/b", "tensorflow")],
            "Illegal to list model a multiple times in config list",
        ),
        (
            [("a", "models/a", "tensorflow")],
            "Expected model a to have an absolute path or URI; got base_path()=models/a",
        ),
        ([("a", "/a", "torch")], "Model a requests unsupported platform torch"),
        (
            [("a", "/a", "")],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is a",
        ),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, models: list[tuple[str, str, str]], message: str
) -> None:
    assert complaint(tmp_path, *models) == message


def test_a_file_that_is_no_text_proto(tmp_path: Path) -> None:
    path = tmp_path / "models.config"
    path.write_text("models: [")
    with pytest.raises(
        ServingError, match=r"models.config is not a text proto of a ModelServer"
    ):
        read_model_config(str(path))
    with pytest.raises(ServingError, match="cannot read the ModelServerConfig"):
        read_model_config(str(tmp_path / "nothing"))


def test_monitoring(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.config"
    assert read_metrics_path("") is None
    path.write_text("prometheus_config { enable: false }")
    assert read_metrics_path(str(path)) is None
    path.write_text("prometheus_config { enable: true }")
    assert read_metrics_path(str(path)) == "/monitoring/prometheus/metrics"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    assert read_metrics_path(str(path)) == "/metrics"
