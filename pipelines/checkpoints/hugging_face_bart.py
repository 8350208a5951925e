"""Hugging Face's BART, by way of keras-hub's own converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pipelines.checkpoints.description import ModelDescription
from pipelines.checkpoints.hugging_face_tensors import NamedTensors, one_of, require
from pipelines.checkpoints.safetensors_folder import SafetensorsFolder
from pipelines.models.architecture import LOGITS_BIAS

if TYPE_CHECKING:
    import keras

_SHARED: Final = "shared.weight"
_TIED: Final = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_HEAD: Final = "lm_head.weight"
_POSITIONS_BEFORE: Final = 2  # rows of a table of positions that BART never uses
_PREFIX: Final = "model."  # of every tensor but two, where the folder has an output layer


def describe(
    settings: Mapping[str, Any], folder: SafetensorsFolder
) -> tuple[ModelDescription, NamedTensors]:
    """What ``config.json`` and the tensors say.

    Raises:
      CheckpointError: a setting is not supported, or the tensors are not what it says.
      KeyError: a setting is missing.
    """
    require(
        settings,
        activation_function="gelu",
        decoder_layers=settings["encoder_layers"],
        decoder_attention_heads=settings["encoder_attention_heads"],
        decoder_ffn_dim=settings["encoder_ffn_dim"],
        tie_word_embeddings=True,
        normalize_before=False,
        add_final_layer_norm=False,
        static_position_embeddings=False,
    )
    rows, width = settings["vocab_size"], settings["d_model"]
    prefix = _PREFIX if any(name.startswith(_PREFIX) for name in folder.shapes) else ""
    embeddings = (prefix + _SHARED, *(prefix + name for name in _TIED), _HEAD)
    scale = width**0.5 if settings.get("scale_embedding") else 1.0
    bias_shape = (1, rows)
    has_bias = folder.shapes.get(LOGITS_BIAS) == bias_shape and folder.read(LOGITS_BIAS).any()
    bos_id = settings.get("bos_token_id", 0)
    description = ModelDescription(
        family="bart",
        vocabulary_size=rows,
        d_model=width,
        num_layers=settings["encoder_layers"],
        num_heads=settings["encoder_attention_heads"],
        d_ff=settings["encoder_ffn_dim"],
        max_positions=settings["max_position_embeddings"],
        logits_scale=1.0 / scale,
        logits_bias=bool(has_bias),
        pad_id=settings.get("pad_token_id", 1),
        eos_id=settings.get("eos_token_id", 2),
        decoder_start_id=settings.get("decoder_start_token_id", 2),
        forced_bos_id=settings.get("forced_bos_token_id"),
        encoder_start_ids=() if bos_id is None else (bos_id,),
    )
    shapes = tensor_shapes(description)
    optional = dict.fromkeys(embeddings, (rows, width)) | {LOGITS_BIAS: bias_shape}
    folder.check({prefix + name: shape for name, shape in shapes.items()}, optional)
    aliases = {name: prefix + name for name in shapes}
    shapes[_SHARED] = (rows, width)
    aliases[_SHARED] = one_of(folder, embeddings)
    if has_bias:
        shapes[LOGITS_BIAS] = bias_shape
    return description, NamedTensors(folder, shapes, aliases, {_SHARED: scale})


def tensor_shapes(model: ModelDescription) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors but the embedding and the bias on logits, by name."""
    width = (model.d_model,)
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = width

    for stack, attentions in (
        ("encoder", ("self_attn",)),
        ("decoder", ("self_attn", "encoder_attn")),
    ):
        positions = model.max_positions + _POSITIONS_BEFORE
        shapes[f"{stack}.embed_positions.weight"] = (positions, model.d_model)
        norm(f"{stack}.layernorm_embedding")
        for i in range(model.num_layers):
            layer = f"{stack}.layers.{i}"
            for attention in attentions:
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    dense(f"{layer}.{attention}.{part}", model.d_model, model.d_model)
                norm(f"{layer}.{attention}_layer_norm")
            dense(f"{layer}.fc1", model.d_ff, model.d_model)
            dense(f"{layer}.fc2", model.d_model, model.d_ff)
            norm(f"{layer}.final_layer_norm")
    return shapes


def load(model: keras.Model, description: ModelDescription, tensors: NamedTensors) -> None:
    """Set a BART's weights."""
    from keras_hub.src.utils.transformers import convert_bart

    convert_bart.convert_weights(model.backbone, tensors, {})
    if description.logits_bias:
        model.get_layer(LOGITS_BIAS).bias.assign(tensors.read(LOGITS_BIAS)[0])
