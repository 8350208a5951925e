"""Settings are checked by name, all at once, before anything runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipelines.config import ConfigError, load_config, parse_config, setting_reference


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_given_a_file_when_read_then_settings_and_defaults_are_there(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", '[model]\nfamily = "bart"\n[training]\nsteps = 5000\n')

    config = load_config(file)

    assert config.model.family == "bart"
    assert config.training.steps == 5000
    assert config.serving.model_name == "summarizer"


def test_config_cannot_be_changed_after_reading() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_config({}).training.steps = 3  # type: ignore[misc]


def test_all_errors_are_reported_at_once_by_name() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {
                "modell": {},
                "model": {"d_model": "wide", "family": "gpt", "layers": 1},
                "training": {"steps": 0},
            }
        )

    message = str(caught.value)
    assert "5 setting(s) cannot be used" in message
    assert "model.d_model: Input should be a valid integer" in message
    assert "model.family: Input should be 't5', 'bart' or 'pegasus'. Received: 'gpt'" in message
    assert "model.layers: no such setting." in message
    assert "training.steps: Input should be greater than or equal to 1. Received: 0" in message
    assert "modell: no such setting." in message


def test_a_setting_of_nearly_the_name_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"model": {"num_beam": 2, "steps": 7}, "trainning": {"steps": 7}})
    message = str(caught.value)
    assert "model.num_beam: no such setting. Did you mean model.num_beams?" in message
    assert "model.steps: no such setting. Did you mean training.steps?" in message
    assert "trainning: no such setting. Did you mean training?" in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"model": {"num_heads": 3, "d_model": 128}},
            "num_heads must divide d_model. Received: num_heads = 3, d_model = 128",
        ),
        (
            {"training": {"steps": 10, "warmup_steps": 10}},
            "warmup_steps must be smaller than steps. Received: warmup_steps = 10, steps = 10",
        ),
        (
            {"training": {"lora_rank": 4}},
            "training.lora_rank needs a checkpoint to start from, because it trains only "
            "what is added to that. Expected: model.init_from, or lora_rank = 0. Received: "
            "lora_rank = 4, init_from = ''",
        ),
        (
            {"tokenizer": {"vocab_size": 299}},
            "tokenizer: vocab_size has no room for the 256 bytes and the special ids of a "
            "sentencepiece vocabulary. Expected: 300 or more. Received: 299",
        ),
        (
            {"tokenizer": {"kind": "byte_level_bpe", "vocab_size": 259}},
            "byte_level_bpe vocabulary. Expected: 260 or more. Received: 259",
        ),
        (
            {"tokenizer": {"kind": "wordpiece"}},
            "tokenizer.kind: Input should be 'sentencepiece', 'byte_level_bpe' or "
            "'hugging_face'. Received: 'wordpiece'",
        ),
        ({"serving": {"model_name": "a/b"}}, "serving.model_name: String should match pattern"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, dict[str, object]], expected: str
) -> None:
    with pytest.raises(ConfigError, match=r"1 setting\(s\)") as caught:
        parse_config(values)
    assert expected in str(caught.value)


def test_overrides_are_read_as_toml_and_else_as_text(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", "")

    config = load_config(
        file, ["training.steps=7000", "model.family=bart", "model.task_prefix=summarize: "]
    )

    assert (config.training.steps, config.model.family) == (7000, "bart")
    assert config.model.task_prefix == "summarize: "


@pytest.mark.parametrize("override", ["steps=3", "training.steps", "=3", "training.=3"])
def test_a_malformed_override_is_refused_with_an_example(tmp_path: Path, override: str) -> None:
    file = write(tmp_path / "c.toml", "")
    with pytest.raises(ConfigError, match=r"--set expects section\.key=value"):
        load_config(file, [override])


def test_a_missing_file_and_a_broken_one_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="could not be read as TOML"):
        load_config(write(tmp_path / "broken.toml", "[model\n"))


def test_every_setting_has_a_meaning() -> None:
    rows = setting_reference()
    assert (
        "training.steps",
        "integer",
        "1000",
        "Number of optimizer steps in the whole run.",
    ) in rows
    assert [name for name, _, _, meaning in rows if not meaning] == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"min_output_tokens": 21}, "min_output_tokens must not exceed max_output_tokens"),
        ({"no_repeat_ngram_size": 1}, "no_repeat_ngram_size must be 0"),
    ],
)
def test_decoding_that_cannot_be_is_found_before_training(
    model: dict[str, int], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_config({"model": model})


def test_rows_too_long_for_int8_are_refused_before_training() -> None:
    int8 = {"weights": "int8", "xla": True}
    refused = r"model.max_input_tokens = 8190 or less.*Received: model.max_input_tokens = 8191"
    with pytest.raises(ConfigError, match=refused):
        parse_config({"model": {"max_input_tokens": 8191}, "export": int8})
    parse_config({"model": {"max_input_tokens": 8190}, "export": int8})
    parse_config({"model": {"max_input_tokens": 8192}})


def test_int8_without_xla_is_refused() -> None:
    with pytest.raises(ConfigError, match="weights = 'int8' needs xla = true"):
        parse_config({"export": {"weights": "int8"}})
    assert parse_config({"export": {"weights": "int8", "xla": True}}).export.weights == "int8"
