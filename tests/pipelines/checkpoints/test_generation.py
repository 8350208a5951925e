"""A folder's own way of decoding: taken over, overridden, or said not to be followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipelines.checkpoints.generation import (
    DECODING_SETTINGS,
    Generation,
    decoding_notes,
    read_generation,
)
from pipelines.checkpoints.keras_preset import save_decoding, save_preset
from pipelines.checkpoints.opening import CHECKPOINT_DIR, open_checkpoint
from pipelines.checkpoints.settings import checkpoint_notes
from pipelines.config import ConfigError, parse_config
from pipelines.models.families import build_model
from tokenizer.contract import TOKENIZER_DIR
from tokenizer.loading import save_tokenizer

# generation_config.json of facebook/bart-large-cnn.
CNN = {
    "_from_model_config": True,
    "bos_token_id": 0,
    "decoder_start_token_id": 2,
    "early_stopping": True,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
    "pad_token_id": 1,
    "transformers_version": "4.27.0.dev0",
}
TAKEN = {
    "num_beams": 4,
    "length_penalty": 2.0,
    "early_stopping": True,
    "no_repeat_ngram_size": 3,
    # transformers counts the decoder's start and what is forced.
    "min_output_tokens": 54,
    "max_output_tokens": 139,
    "force_eos": True,
}


def read(values: dict[str, Any], forced_bos: bool = True) -> Generation:
    return read_generation({}, values, eos_id=2, forced_bos=forced_bos)


def test_bart_large_cnn() -> None:
    generation = read(CNN)
    assert generation.settings == TAKEN
    assert not generation.unsupported
    assert generation.origins["min_output_tokens"] == "min_length = 56"


def test_older_folders_keep_it_in_config_json() -> None:
    settings = {"d_model": 16, "use_cache": True, **CNN}
    generation = read_generation(settings, None, eos_id=2, forced_bos=True)
    assert generation.settings == TAKEN
    assert not generation.unsupported
    # Where there are both, one file counts, as in transformers.
    newer = read_generation(settings, {"num_beams": 2}, eos_id=2, forced_bos=True)
    assert newer.settings == {"num_beams": 2}


@pytest.mark.parametrize(
    ("values", "forced_bos", "expected"),
    [
        ({"max_length": 20}, False, {"max_output_tokens": 19}),
        ({"max_length": 20, "max_new_tokens": 7}, False, {"max_output_tokens": 7}),
        ({"max_new_tokens": 7}, True, {"max_output_tokens": 6}),
        (
            {"max_length": 20, "forced_eos_token_id": 2},
            True,
            {"max_output_tokens": 17, "force_eos": True},
        ),
        ({"min_length": 0}, False, {}),
        ({"min_length": 2}, True, {}),
        ({"min_length": 5, "min_new_tokens": 9}, False, {"min_output_tokens": 9}),
        ({"min_new_tokens": 9}, True, {"min_output_tokens": 8}),
        ({"bad_words_ids": [[2], [5], [6, 7]]}, False, {"banned_ids": ((5,), (6, 7))}),
        ({"repetition_penalty": 1.2}, False, {"repetition_penalty": 1.2}),
        ({"forced_eos_token_id": [2]}, False, {"force_eos": True}),
        ({"temperature": 0.5, "top_k": 3}, False, {}),
    ],
)
def test_what_becomes_of_what(
    values: dict[str, Any], forced_bos: bool, expected: dict[str, Any]
) -> None:
    generation = read(values, forced_bos)
    assert generation.settings == expected
    assert not generation.unsupported


@pytest.mark.parametrize(
    "values",
    [
        {"early_stopping": "never"},
        {"forced_eos_token_id": 5},
        {"eos_token_id": [2, 7]},
        {"do_sample": True, "top_k": 3},
        {"num_beam_groups": 2},
        {"diversity_penalty": 0.5},
        {"encoder_no_repeat_ngram_size": 3},
        {"suppress_tokens": [1]},
        {"something_new": 1},
    ],
)
def test_what_is_not_supported_is_said(values: dict[str, Any]) -> None:
    generation = read(values)
    assert generation.unsupported == values
    assert not generation.settings
    notes = [str(note) for note in decoding_notes(generation, {})]
    assert len(notes) == len(values)
    assert all(note.endswith("not supported, so it has no effect") for note in notes)


def test_task_specific_parameters_are_said_not_to_be_followed() -> None:
    special = {"num_beams": 4, "prefix": "summarize: "}
    settings = {"task_specific_params": {"summarization": special}}
    generation = read_generation(settings, {}, eos_id=1, forced_bos=False)
    assert generation.unsupported == {"task_specific_params.summarization": special}


@pytest.fixture
def folder(copied: Callable[[str], Path]) -> Path:
    return copied("distilbart")


def test_taken_over_unless_a_setting_says_otherwise(folder: Path) -> None:
    limits = {"init_from": str(folder), "max_input_tokens": 50}
    model = parse_config({"model": limits}).model
    assert (model.num_beams, model.length_penalty, model.early_stopping) == (4, 2.0, True)
    assert (model.min_output_tokens, model.max_output_tokens) == (10, 27)
    assert (model.no_repeat_ngram_size, model.force_eos) == (3, True)
    own = parse_config({"model": limits | {"num_beams": 1, "max_output_tokens": 12}}).model
    assert (own.num_beams, own.max_output_tokens, own.min_output_tokens) == (1, 12, 10)
    assert sorted(checkpoint_notes(own)) == [
        "early_stopping = true: taken over as model.early_stopping = true",
        "forced_eos_token_id = 2: taken over as model.force_eos = true",
        "length_penalty = 2.0: taken over as model.length_penalty = 2.0",
        "max_length = 30: overridden by model.max_output_tokens = 12",
        "min_length = 12: taken over as model.min_output_tokens = 10",
        "no_repeat_ngram_size = 3: taken over as model.no_repeat_ngram_size = 3",
        "num_beams = 4: overridden by model.num_beams = 1",
    ]


def test_a_limit_below_the_checkpoints_least_length(folder: Path) -> None:
    limits = {"init_from": str(folder), "max_input_tokens": 50, "max_output_tokens": 9}
    with pytest.raises(
        ConfigError, match=r"min_length = 12 requires at least 10 ids.*Received: max_o"
    ):
        parse_config({"model": limits})
    assert parse_config({"model": limits | {"min_output_tokens": 0}}).model.num_beams == 4


def test_what_is_out_of_bounds_is_named(folder: Path) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_beams": 1000}))
    with pytest.raises(ConfigError, match=r"num_beams = 1000 cannot be taken over: .* 32"):
        parse_config({"model": {"init_from": str(folder), "max_input_tokens": 50}})


def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    from pipelines.checkpoints.description import CheckpointError

    path = folder / "generation_config.json"
    path.write_text(json.dumps({"bad_words_ids": 5}))
    with pytest.raises(CheckpointError, match="has decoding settings that cannot be read"):
        open_checkpoint(folder)


def test_special_tokens_that_are_text_are_named(folder: Path) -> None:
    config = parse_config({"model": {"init_from": str(folder), "max_input_tokens": 50}})
    assert not any("special" in note for note in checkpoint_notes(config.model))
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text()) | {"extra_special_tokens": ["<sep>"]}
    path.write_text(json.dumps(values))
    (note,) = [note for note in checkpoint_notes(config.model) if "special" in note]
    assert note.startswith("special tokens <sep>: their names in a text are treated as text")


def test_a_pushed_version_is_decoded_as_it_was(folder: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(folder)
    limits = {"init_from": str(folder), "max_input_tokens": 50, "banned_ids": [[5], [7, 9]]}
    taken = parse_config({"model": limits}).model
    architecture = checkpoint.description.architecture(asdict(taken), checkpoint.tokenizer)
    version = tmp_path / "version"
    start = checkpoint.description.encoder_start_ids
    save_preset(build_model(architecture), architecture, start, version / CHECKPOINT_DIR)
    save_decoding(architecture, version / CHECKPOINT_DIR)
    save_tokenizer(checkpoint.tokenizer, version / TOKENIZER_DIR)
    (version / "saved_model.pb").write_bytes(b"")
    own = {"init_from": str(version), "max_input_tokens": 50, "num_beams": 2}
    again = parse_config({"model": own}).model
    same = {name: getattr(taken, name) for name in DECODING_SETTINGS}
    assert {name: getattr(again, name) for name in same} == same | {"num_beams": 2}
    notes = checkpoint_notes(again)
    assert "the version's num_beams = 4: overridden by model.num_beams = 2" in notes
