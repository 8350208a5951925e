"""A checkpoint that is not what it says is refused, with the name of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.models.families import build_model

Tensors = dict[str, np.ndarray]
QUERY = "encoder.block.1.layer.0.SelfAttention.q.weight"
LIMITS = {"max_input_tokens": 20, "max_output_tokens": 5}


@pytest.fixture
def t5(copied: Callable[[str], Path]) -> Path:
    return copied("t5")


def change_tensors(folder: Path, change: Callable[[Tensors], Any]) -> None:
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    change(tensors)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    values = {name: value for name, value in values.items() if value != "absent"}
    path.write_text(json.dumps(values))


def test_what_is_right_opens(t5: Path) -> None:
    checkpoint = open_checkpoint(t5)
    assert checkpoint.description.vocabulary_size == 112 > checkpoint.tokenizer.vocabulary_size
    assert checkpoint.tokenizer.files().keys() == {"tokenizer.model"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(QUERY), f"lacks tensors that its config requires: {QUERY}$"),
        (
            lambda t: t.update({QUERY: t[QUERY][:, 1:]}),
            rf"{QUERY} of .* a shape that .* Expected: \[24, 24\]. Received: \[24, 23\]",
        ),
        (
            lambda t: t.update({"encoder.block.2.layer.0.layer_norm.weight": np.ones(24)}),
            "do not belong to its config: encoder.block.2.layer.0.layer_norm.weight",
        ),
        (lambda t: t.pop("shared.weight"), "lacks the tensor shared.weight"),
        (
            lambda t: t.update({QUERY: t[QUERY].astype(np.int8)}),
            rf"{QUERY} .* does not contain floats. .*Received: I8",
        ),
        (
            lambda t: t.update({"decoder.embed_tokens.weight": t["shared.weight"] + 1}),
            "shared.weight and decoder.embed_tokens.weight differ",
        ),
        (
            lambda t: t.update({"lm_head.weight": np.ones((100, 24), np.float32)}),
            r"lm_head.weight .* Expected: \[112, 24\]. Received: \[100, 24\]",
        ),
    ],
)
def test_tensors(
    t5: Path, change: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    change_tensors(t5, change)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(t5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, r"Expected: one of T5, .*DistilBART.*Received: .*'gpt2'"),
        ({"model_type": "longt5"}, "Received: model_type 'longt5'"),
        ({"model_type": "led"}, "Received: model_type 'led'"),
        ({"model_type": "mbart"}, "Received: model_type 'mbart'"),
        (
            {"tokenizer_class": "ByT5Tokenizer"},
            "which is a ByT5 because it has a ByT5Tokenizer",
        ),
        ({"model_type": "absent"}, "neither a model_type nor a class_name"),
        ({"d_kv": "absent"}, "config.json lacks the setting 'd_kv'"),
        ({"d_ff": 41}, r"wi.weight .* Expected: \[41, 24\]. Received: \[40, 24\]"),
        (
            {"num_layers": 1, "num_decoder_layers": 1},
            r"do not belong to its config: .*block\.1.* and \d+ more",
        ),
        (
            {"num_decoder_layers": 1},
            r"do not belong to its config: decoder\.block\.1\..* and \d+ more",
        ),
        ({"relative_attention_num_buckets": 16}, "num_buckets must be 32. Received: 16"),
        ({"feed_forward_proj": "tanh"}, "feed_forward_proj .* Received: 'tanh'"),
    ],
)
def test_settings(t5: Path, changes: dict[str, int] | dict[str, str], message: str) -> None:
    change_config(t5, **changes)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(t5)


def test_a_vocabulary_smaller_than_the_tokenizer(t5: Path) -> None:
    size = open_checkpoint(t5).tokenizer.vocabulary_size
    change_config(t5, vocab_size=size - 1)
    change_tensors(t5, lambda t: t.update({"shared.weight": t["shared.weight"][: size - 1]}))
    checkpoint = open_checkpoint(t5)
    expected = f"fewer rows than the tokenizer has ids. Expected: at least {size}. .*{size - 1}"
    with pytest.raises(CheckpointError, match=expected):
        checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)


def test_other_special_ids_than_the_tokenizers(t5: Path) -> None:
    change_config(t5, eos_token_id=5)
    checkpoint = open_checkpoint(t5)
    with pytest.raises(CheckpointError, match=r"eos_id differs .* Expected: 1.* Received: 5"):
        checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", None, "has no weights. .*model.safetensors or pytorch_model.b"),
        ("model.safetensors", 90_000, "model.safetensors is not a complete safetensors file"),
        ("model.safetensors", 0, "model.safetensors is not a complete safetensors file"),
        ("spiece.model", None, "without a tokenizer that can be read. .*tokenizer.json.*spiec"),
        ("spiece.model", 0, "not a SentencePiece model"),
        ("config.json", None, "has no config.json. Expected: a Hugging Face folder"),
        ("config.json", 100, "config.json is not JSON"),
    ],
)
def test_files(t5: Path, name: str, content: int | None, message: str) -> None:
    whole = (t5 / name).read_bytes()
    (t5 / name).unlink()
    if content is not None:
        (t5 / name).write_bytes(whole[:content])
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(t5)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"nowhere is not a folder. Expected: a Hugging Face"
    ):
        open_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "folder"),
    [("facebook/bart-large-cnn", "bart-large-cnn"), ("t5-small", "t5-small")],
)
def test_a_name_of_the_hub(name: str, folder: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)
    assert f"Nothing is downloaded automatically: if {name} is a model" in str(caught.value)
    assert f"`hf download {name} --local-dir {folder}`" in str(caught.value)


def test_weights_of_other_frameworks(t5: Path) -> None:
    (t5 / "model.safetensors").rename(t5 / "tf_model.h5")
    with pytest.raises(CheckpointError, match=r"Received: tf_model.h5, which is not read"):
        open_checkpoint(t5)


def test_a_pushed_version_without_its_checkpoint(tmp_path: Any) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"assets.extra/checkpoint has no config.json"):
        open_checkpoint(tmp_path)


def test_a_weight_that_is_no_number(t5: Path) -> None:
    change_tensors(t5, lambda t: t[QUERY].__setitem__((3, 4), np.nan))
    checkpoint = open_checkpoint(t5)
    architecture = checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    with pytest.raises(CheckpointError, match=r"Received none for: .*layer_1.*query_projector"):
        checkpoint.load_into(build_model(architecture))


def shard(folder: Path) -> dict[str, str]:
    """Spread the weights over two files and an index, as transformers does large ones."""
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {
        name: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(names)
    }
    for file in set(places.values()):
        part = {name: tensors[name] for name in names if places[name] == file}
        safetensors.numpy.save_file(part, folder / file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return places


def test_shards_are_one_checkpoint(t5: Path) -> None:
    whole = open_checkpoint(t5)
    architecture = whole.description.architecture(LIMITS, whole.tokenizer)
    one, other = build_model(architecture), build_model(architecture)
    whole.load_into(one)
    shard(t5)
    open_checkpoint(t5).load_into(other)
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_a_shard_that_is_missing_or_lacks_a_tensor(t5: Path) -> None:
    places = shard(t5)
    first = t5 / "model-00001-of-00002.safetensors"
    tensors = safetensors.numpy.load_file(first)
    name = next(iter(tensors))
    safetensors.numpy.save_file({k: v for k, v in tensors.items() if k != name}, first)
    with pytest.raises(CheckpointError, match=f"lacks the tensor {name}, which .*index.json"):
        open_checkpoint(t5)
    first.unlink()
    assert first.name in places.values()
    with pytest.raises(CheckpointError, match=r"00001-of-00002.safetensors does not exist"):
        open_checkpoint(t5)


def test_an_index_that_points_out_of_its_folder(t5: Path) -> None:
    index = {"weight_map": {QUERY: "../other.safetensors"}}
    (t5 / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="a file outside its folder"):
        open_checkpoint(t5)


def test_bfloat16_is_read(t5: Path) -> None:
    change_tensors(
        t5, lambda t: t.update({k: v.astype(ml_dtypes.bfloat16) for k, v in t.items()})
    )
    checkpoint = open_checkpoint(t5)
    architecture = checkpoint.description.architecture(LIMITS, checkpoint.tokenizer)
    model = build_model(architecture)
    checkpoint.load_into(model)
    assert {variable.dtype for variable in model.weights} == {"float32"}


def test_how_transformers_4_says_that_nothing_is_tied(copied: Callable[[str], Path]) -> None:
    new = open_checkpoint(copied("t5_v1_1"))
    change_config(new.directory, scale_decoder_outputs="absent", tie_word_embeddings=False)
    assert open_checkpoint(new.directory).description == new.description
    assert not new.description.tied


def test_another_weight_is_another_identity(t5: Path) -> None:
    before = open_checkpoint(t5).identity()
    assert open_checkpoint(t5).identity() == before
    change_tensors(t5, lambda t: t[QUERY].__setitem__((3, 4), 0.5))
    assert open_checkpoint(t5).identity() != before
