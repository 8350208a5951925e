"""keras-hub's presets: what `save_to_preset` writes is a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import keras
import keras_hub
import numpy as np
import pytest

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.keras_preset import KerasPreset, save_decoding, save_preset
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.models.families import build_model
from tests.pipelines.checkpoints.fixture_checkpoints import FIXTURES, architecture_of
from tests.support.made_once import made_once

LIMITS = {"max_input_tokens": 20, "max_output_tokens": 5}


@made_once
def save_t5(path: Path) -> None:
    """A T5 v1.1 of keras-hub's own making, with its tokenizer."""
    path.mkdir()
    spiece = (FIXTURES / "t5" / "spiece.model").read_bytes()
    backbone = keras_hub.models.T5Backbone(
        vocabulary_size=112,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=24,
        key_value_dim=6,
        activation="gelu",
        use_gated_activation=True,
        tie_embedding_weights=False,
    )
    random = np.random.default_rng(5)
    for weight in backbone.weights:
        weight.assign(random.normal(0, 0.4, weight.shape))
    backbone.save_to_preset(str(path))
    keras_hub.models.T5Tokenizer(proto=spiece).save_to_preset(str(path))


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    save_t5(tmp_path / "preset")
    return tmp_path / "preset"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    """A training model that fits, for weights that do not."""
    folder = tmp_path_factory.mktemp("good") / "preset"
    save_t5(folder)
    checkpoint = open_checkpoint(folder)
    return build_model(checkpoint.description.architecture(LIMITS, checkpoint.tokenizer))


@pytest.mark.parametrize(
    "name",
    ["t5_uneven", pytest.param("umt5", marks=pytest.mark.long), "distilbart", "pegasus"],
)
def test_what_keras_hub_has_no_backbone_for_is_kept_and_trained(
    name: str, tmp_path: Path
) -> None:
    """What a pushed version keeps of it is a checkpoint again, weight by weight."""
    started = open_checkpoint(FIXTURES / name)
    architecture = architecture_of(started)
    model = build_model(architecture)
    started.load_into(model)
    save_preset(model, architecture, started.description.encoder_start_ids, tmp_path)
    assert not KerasPreset(tmp_path, started.tokenizer).generation.settings
    save_decoding(architecture, tmp_path)
    kept = KerasPreset(tmp_path, started.tokenizer)
    assert kept.description == started.description
    assert kept.generation.settings["max_output_tokens"] == architecture.max_output_tokens
    again = build_model(architecture)
    kept.load_into(again)
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    # Sines and cosines are the one thing that is not trained.
    fixed = [each.path for each in again.weights if not each.trainable]
    expected = ["encoder", "decoder"] if name == "pegasus" else []
    assert fixed == [f"{side}_position_embedding/embeddings" for side in expected]


def test_a_preset_opens_as_what_it_is(preset: Path) -> None:
    checkpoint = open_checkpoint(preset)
    ours = checkpoint.description
    assert (ours.family, ours.d_model, ours.d_kv, ours.d_ff) == ("t5", 16, 6, 24)
    assert (ours.activation, ours.gated, ours.tied) == ("gelu", True, False)
    assert (ours.pad_id, ours.eos_id, ours.decoder_start_id) == (0, 1, 0)
    model = build_model(ours.architecture(LIMITS, checkpoint.tokenizer))
    checkpoint.load_into(model)
    theirs = keras_hub.models.T5Seq2SeqLM(
        backbone=keras_hub.models.T5Backbone.from_preset(str(preset))
    )
    inputs = {
        "encoder_token_ids": np.array([[5, 6, 7, 1]]),
        "encoder_padding_mask": np.ones((1, 4), "int32"),
        "decoder_token_ids": np.array([[0, 9, 8]]),
        "decoder_padding_mask": np.ones((1, 3), "int32"),
    }
    np.testing.assert_allclose(model(inputs), theirs(inputs), rtol=0, atol=1e-6)


def test_a_bart_preset_starts_as_keras_hubs_preprocessor_does(tmp_path: Path) -> None:
    bart = FIXTURES / "bart"
    backbone = keras_hub.models.BartBackbone(
        vocabulary_size=300,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=24,
        max_sequence_length=30,
    )
    backbone.save_to_preset(str(tmp_path))
    keras_hub.models.BartTokenizer(
        vocabulary=str(bart / "vocab.json"), merges=str(bart / "merges.txt")
    ).save_to_preset(str(tmp_path))
    checkpoint = open_checkpoint(tmp_path)
    ours = checkpoint.description
    assert (ours.decoder_start_id, ours.forced_bos_id, ours.encoder_start_ids) == (2, 0, (0,))
    assert ours.max_positions == 30
    model = build_model(ours.architecture(LIMITS, checkpoint.tokenizer))
    checkpoint.load_into(model)
    for mine, theirs in zip(model.backbone.weights, backbone.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


def test_a_preset_without_weights_or_tokenizer(preset: Path) -> None:
    weights = preset / "model.weights.h5"
    content = weights.read_bytes()
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no weights. Expected: model.weights.h5"):
        open_checkpoint(preset)
    weights.write_bytes(content)
    (preset / "assets" / "tokenizer" / "vocabulary.spm").unlink()
    with pytest.raises(CheckpointError, match=r"without a tokenizer that can be read"):
        open_checkpoint(preset)


def test_a_preset_of_another_model(preset: Path) -> None:
    config = json.loads((preset / "config.json").read_text())
    (preset / "config.json").write_text(json.dumps(config | {"class_name": "BertBackbone"}))
    with pytest.raises(
        CheckpointError, match=r"Expected: one of T5Backbone, BartBackbone. Rec"
    ):
        open_checkpoint(preset)


@pytest.mark.parametrize("spoilt", ["missing", "wrong shape", "not a number", "truncated"])
def test_weights_that_are_not_the_configs(
    preset: Path, model: keras.Model, spoilt: str
) -> None:
    checkpoint = open_checkpoint(preset)
    weights = preset / "model.weights.h5"
    if spoilt == "truncated":
        weights.write_bytes(weights.read_bytes()[:5000])
    else:
        with h5py.File(weights, "r+") as file:
            found: list[str] = []
            file.visit(lambda name: found.append(name) if "query" in name else None)
            name = next(each for each in found if isinstance(file[each], h5py.Dataset))
            values = file[name][()]
            del file[name]
            if spoilt == "wrong shape":
                file[name] = values[:, 1:]
            elif spoilt == "not a number":
                file[name] = np.full_like(values, np.nan)
    with pytest.raises(CheckpointError, match=r"query_projector|truncated file"):
        checkpoint.load_into(model)
