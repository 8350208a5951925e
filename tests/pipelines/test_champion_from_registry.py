"""Training goes on from the registry's champion, and only where there is a new span."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from components.model_registry import open_registry
from pipelines.champion import newest_span, registered_champion, with_champion
from pipelines.config import ConfigError, load_config
from pipelines.layout import OutputLayout
from tests.support.empty_registry import lay_registry
from tests.support.warm_process import run_tallygraph
from tokenizer.pretrained import load_pretrained_tokenizer

CHECKPOINT = Path(__file__).parent / "checkpoints" / "fixtures" / "bart"
CONFIG = """
[pipeline]
name = "daily"

[model]
init_from = "champion"
max_input_tokens = 48
max_output_tokens = 16
"""


@pytest.fixture
def layout(tmp_path: Path) -> OutputLayout:
    return OutputLayout(tmp_path / "build", "daily")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "daily.toml").write_text(CONFIG)
    return tmp_path / "daily.toml"


def register_champion(layout: OutputLayout, folder: Path, spans: str) -> None:
    registry = open_registry(lay_registry(layout.registry_file))
    made = registry.register("summarizer", str(folder), {}, {"spans": spans})
    registry.set_aliases("summarizer", {"champion": made.number})


def test_the_first_run_has_no_champion_and_starts_fresh(
    config: Path, layout: OutputLayout
) -> None:
    settings = load_config(config)
    assert registered_champion(settings, layout) is None
    assert not layout.registry_file.exists()
    fresh = with_champion(settings, None, config, [])
    assert fresh.model.init_from == ""
    assert fresh.model.family == "t5"


def test_later_ones_go_on_from_it_with_its_tokenizer(
    config: Path, layout: OutputLayout
) -> None:
    register_champion(layout, CHECKPOINT, "3 10 4")
    overrides = ["training.learning_rate=0.5"]
    settings = load_config(config, overrides)
    champion = registered_champion(settings, layout)
    assert champion is not None
    assert newest_span(champion) == 10
    resolved = with_champion(settings, champion, config, overrides)
    assert resolved.model.init_from == str(CHECKPOINT)
    assert resolved.model.family == "bart"
    assert resolved.tokenizer.kind == "byte_level_bpe"
    assert resolved.training.learning_rate == 0.5


def test_the_first_one_trains_all_weights_and_later_ones_those_of_lora(
    config: Path, layout: OutputLayout
) -> None:
    overrides = ["training.lora_rank=4"]
    settings = load_config(config, overrides)
    assert with_champion(settings, None, config, overrides).training.lora_rank == 0
    register_champion(layout, CHECKPOINT, "")
    champion = registered_champion(settings, layout)
    resolved = with_champion(settings, champion, config, overrides)
    assert resolved.training.lora_rank == 4
    scratch = with_champion(settings, champion, config, overrides, from_scratch=True)
    assert (scratch.model.init_from, scratch.training.lora_rank) == ("", 0)


def test_copying_is_learnt_by_the_first_one_only(config: Path, layout: OutputLayout) -> None:
    overrides = ["training.start_copying=true"]
    settings = load_config(config, overrides)
    assert with_champion(settings, None, config, overrides).training.start_copying
    register_champion(layout, CHECKPOINT, "")
    champion = registered_champion(settings, layout)
    assert not with_champion(settings, champion, config, overrides).training.start_copying


def test_the_tokenizer_alone_may_be_the_champions(config: Path, layout: OutputLayout) -> None:
    overrides = ["model.init_from=", "tokenizer.pinned=champion"]
    settings = load_config(config, overrides)
    assert with_champion(settings, None, config, overrides).tokenizer.pinned == ""
    register_champion(layout, CHECKPOINT, "")
    resolved = with_champion(settings, registered_champion(settings, layout), config, overrides)
    assert load_pretrained_tokenizer(resolved.tokenizer.pinned).kind == "byte_level_bpe"


def test_a_champion_that_is_no_checkpoint_is_refused(
    config: Path, layout: OutputLayout, tmp_path: Path
) -> None:
    register_champion(layout, tmp_path / "gone", "")
    settings = load_config(config)
    with pytest.raises(ConfigError, match="gone is not a folder"):
        with_champion(settings, registered_champion(settings, layout), config, [])


def test_a_run_without_a_new_span_ends_at_once_and_says_so(
    config: Path, layout: OutputLayout, tmp_path: Path
) -> None:
    for span in (1, 2):
        (tmp_path / f"span-{span}.jsonl").write_text(
            json.dumps({"document": "a text", "summary": "text"})
        )
    register_champion(layout, CHECKPOINT, "2")

    def run(span: str) -> subprocess.CompletedProcess[str]:
        return run_tallygraph(
            "run",
            f"--config={config}",
            f"--corpus={tmp_path}/span-{{SPAN}}.jsonl",
            f"--output={layout.output}",
            f"--span={span}",
        )

    finished = run("latest:2")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert (
        "nothing to do: the newest span is 2, and the champion (version 1) was trained on "
        "span 2." in finished.stdout
    )
    assert not layout.metadata_file.exists()
    finished = run("7")
    assert finished.returncode == 2
    assert "The corpus has no span 7. Available spans: 1, 2." in finished.stdout
