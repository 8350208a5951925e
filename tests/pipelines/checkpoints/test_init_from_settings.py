"""``model.init_from`` in a config: what it decides, what may not contradict it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.config import ConfigError, PipelineConfig, parse_config
from tokenizer.loading import save_tokenizer
from tokenizer.training import train_sentencepiece


@pytest.fixture
def folder(copied: Callable[[str], Path]) -> str:
    return str(copied("t5_v1_1"))


def parse(folder: str, **sections: Any) -> PipelineConfig:
    model = {"init_from": folder, "max_input_tokens": 30} | sections.pop("model", {})
    return parse_config({"model": model, **sections})


def test_sizes_are_the_checkpoints(folder: str) -> None:
    model = parse(folder).model
    assert (model.family, model.d_model, model.d_ff) == ("t5", 24, 40)
    assert (model.num_layers, model.num_heads, model.max_input_tokens) == (2, 3, 30)


def test_sizes_may_be_said_again_but_not_otherwise(folder: str) -> None:
    assert parse(folder, model={"d_model": 24}).model.d_model == 24
    with pytest.raises(ConfigError) as caught:
        # The default of d_model, too, contradicts the checkpoint once it is asked for.
        parse(folder, model={"d_model": 128, "family": "bart"})
    message = str(caught.value)
    assert "family is 't5' in the checkpoint" in message
    assert "d_model is 24 in the checkpoint. Expected: the same" in message
    assert "Received: 128" in message


def test_a_pinned_tokenizer_must_be_the_checkpoints(folder: str, tmp_path: Path) -> None:
    parse(folder, tokenizer={"pinned": folder})
    save_tokenizer(train_sentencepiece(["Another corpus."], 300), tmp_path / "other")
    with pytest.raises(
        ConfigError, match=r"tokenizer.pinned is not the checkpoint's tokenizer"
    ):
        parse(folder, tokenizer={"pinned": str(tmp_path / "other")})


def test_a_checkpoint_does_not_start_copying(folder: str) -> None:
    with pytest.raises(
        ConfigError, match=r"training.start_copying is only for a model that is trained"
    ):
        parse(folder, training={"start_copying": True})


def test_the_command_line_refuses_a_broken_checkpoint_at_once(
    folder: str, tmp_path: Path
) -> None:
    weights = Path(folder) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    config = tmp_path / "c.toml"
    config.write_text(f'[model]\ninit_from = "{folder}"\n')
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"document": "a", "summary": "b"}\n')
    arguments = ["run", "--config", str(config), "--corpus", str(corpus)]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "model.safetensors is not a complete safetensors file" in " ".join(
        result.output.split()
    )
    assert not (tmp_path / "out").exists()
