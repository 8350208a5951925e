"""What is BART's own in a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.models.architecture import ArchitectureError
from pipelines.training.dataset import validation_batches
from tests.pipelines.checkpoints.fixture_checkpoints import architecture_of

LIMITS = {"max_input_tokens": 20, "max_output_tokens": 5}
QUERY = "model.decoder.layers.1.encoder_attn.q_proj.weight"


@pytest.fixture
def bart(copied: Callable[[str], Path]) -> Path:
    return copied("bart")


def change(
    folder: Path,
    tensors: Callable[[dict[str, np.ndarray]], object] | None = None,
    **settings: Any,
) -> None:
    if tensors:
        values = safetensors.numpy.load_file(folder / "model.safetensors")
        tensors(values)
        values = {name: np.ascontiguousarray(value) for name, value in values.items()}
        safetensors.numpy.save_file(values, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_how_rows_start(bart: Path) -> None:
    checkpoint = open_checkpoint(bart)
    architecture = checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    assert architecture.prefix_ids == (0,)
    assert (architecture.pad_id, architecture.eos_id) == (1, 2)
    assert (architecture.decoder_start_id, architecture.forced_bos_id) == (2, 0)
    assert architecture.decoder_length == 6


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        (lambda t: t.pop(QUERY), {}, f"lacks tensors .*: {QUERY}$"),
        (
            lambda t: t.update({QUERY: t[QUERY][:, 1:]}),
            {},
            rf"{QUERY} .* Expected: \[24, 24\]. Received: \[24, 23\]",
        ),
        (
            lambda t: t.update({"model.extra.weight": np.ones(2)}),
            {},
            "do not belong to its config: model.extra.weight",
        ),
        (None, {"max_position_embeddings": 71}, r"embed_positions.* Expected: \[73, 24\]"),
        (None, {"activation_function": "relu"}, "activation_function must be 'gelu'"),
        (
            None,
            {"decoder_layers": 1},
            r"do not belong to its config: .*decoder\.layers\.1\..* and \d+ more",
        ),
        (None, {"decoder_ffn_dim": 41}, "decoder_ffn_dim must be 40. Received: 41"),
        (None, {"tie_word_embeddings": False}, "tie_word_embeddings must be True"),
    ],
)
def test_what_is_refused(
    bart: Path,
    tensors: Callable[[dict[str, np.ndarray]], object] | None,
    settings: dict[str, object],
    message: str,
) -> None:
    change(bart, tensors, **settings)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(bart)


def test_limits_must_fit_its_positions(bart: Path) -> None:
    checkpoint = open_checkpoint(bart)
    fits = {"max_input_tokens": 70, "max_output_tokens": 71}  # with BOS and EOS: 72
    checkpoint.description.architecture(fits, checkpoint.tokenizer)
    for name in fits:
        with pytest.raises(ArchitectureError, match=r"the model has 72 positions"):
            checkpoint.description.architecture(
                fits | {name: fits[name] + 1}, checkpoint.tokenizer
            )


def test_names_without_their_prefix(bart: Path) -> None:
    """As a BartModel, without an output layer, is kept."""
    whole = open_checkpoint(bart)

    def strip(tensors: dict[str, Any]) -> None:
        for name in list(tensors):
            if name.startswith("model."):
                tensors[name.removeprefix("model.")] = tensors.pop(name)

    change(bart, strip)
    assert open_checkpoint(bart).description == whole.description


def test_only_the_mask_may_lack_a_row(bart: Path) -> None:
    """Some published BARTs have a row less than their vocabulary: nothing has that id."""
    vocabulary = json.loads((bart / "vocab.json").read_text())
    size = len(vocabulary)
    (last,) = [piece for piece, value in vocabulary.items() if value == size - 1]
    vocabulary[last], vocabulary["<mask>"] = vocabulary["<mask>"], size - 1
    (bart / "vocab.json").write_text(json.dumps(vocabulary))

    def rows(count: int) -> None:
        def cut(tensors: dict[str, Any]) -> None:
            tensors["model.shared.weight"] = tensors["model.shared.weight"][:count]
            tensors["final_logits_bias"] = tensors["final_logits_bias"][:, :count]

        change(bart, cut, vocab_size=count)

    rows(size - 1)
    checkpoint = open_checkpoint(bart)
    checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    rows(size - 2)
    checkpoint = open_checkpoint(bart)
    with pytest.raises(CheckpointError, match=rf"at least {size - 1}. Received: {size - 2}"):
        checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)


def test_training_reads_rows_as_the_checkpoint_knows_them(bart: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    architecture = architecture_of(open_checkpoint(bart))
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
        for name, ids in {"document_ids": [7, 8, 9], "summary_ids": [10, 11]}.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    file = str(tmp_path / "rows.gz")
    with tf.io.TFRecordWriter(file, "GZIP") as writer:
        writer.write(example.SerializeToString())
    (batch,) = validation_batches([file], architecture, 1, 1)
    assert batch["encoder_token_ids"].numpy()[0, :5].tolist() == [0, 7, 8, 9, 2]
    length = int(batch["decoder_padding_mask"].numpy().sum())
    assert batch["labels"].numpy()[0, :length].tolist() == [0, 10, 11, 2]
    assert batch["decoder_token_ids"].numpy()[0, :length].tolist() == [2, 0, 10, 11]
