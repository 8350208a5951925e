"""Hugging Face's BART, including distilled ones, and Pegasus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.hugging_face_tensors import NamedTensors, one_of, require
from pipelines.checkpoints.weights_folder import WeightsFolder
from pipelines.models.architecture import ACTIVATIONS, LOGITS_BIAS

if TYPE_CHECKING:
    import keras

_SHARED: Final = "shared.weight"
_TIED: Final = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_HEAD: Final = "lm_head.weight"
_POSITIONS: Final = ("encoder.embed_positions.weight", "decoder.embed_positions.weight")
_POSITIONS_BEFORE: Final = 2  # rows of a table of positions that BART never uses
_PREFIX: Final = "model."  # of every tensor but two, where the folder has an output layer


def describe(
    settings: Mapping[str, Any], folder: WeightsFolder
) -> tuple[ModelDescription, NamedTensors]:
    """Describe a BART from its ``config.json`` and tensors.

    Raises:
      CheckpointError: a setting is not supported, or the tensors do not match the settings.
      KeyError: a setting is missing.
    """
    require(
        settings,
        activation_function="gelu",
        normalize_before=False,
        add_final_layer_norm=False,
        static_position_embeddings=False,
    )
    bos_id = settings.get("bos_token_id", 0)
    return _describe(
        settings,
        folder,
        family="bart",
        pad_id=settings.get("pad_token_id", 1),
        eos_id=settings.get("eos_token_id", 2),
        decoder_start_id=settings.get("decoder_start_token_id", 2),
        encoder_start_ids=() if bos_id is None else (bos_id,),
    )


def describe_pegasus(
    settings: Mapping[str, Any], folder: WeightsFolder
) -> tuple[ModelDescription, NamedTensors]:
    """Describe a Pegasus from its ``config.json`` and tensors; see `describe` for the
    errors."""
    require(
        settings,
        normalize_before=True,
        normalize_embedding=False,
        add_final_layer_norm=True,
        static_position_embeddings=True,
    )
    activation = settings.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"activation_function is not supported. Expected: one of {', '.join(ACTIVATIONS)}."
            f" Received: {activation!r}"
        )
    return _describe(
        settings,
        folder,
        family="pegasus",
        activation=activation,
        pad_id=settings.get("pad_token_id", 0),
        eos_id=settings.get("eos_token_id", 1),
        decoder_start_id=settings.get("decoder_start_token_id", 0),
    )


def _describe(
    settings: Mapping[str, Any], folder: WeightsFolder, **own: Any
) -> tuple[ModelDescription, NamedTensors]:
    require(
        settings,
        decoder_attention_heads=settings["encoder_attention_heads"],
        decoder_ffn_dim=settings["encoder_ffn_dim"],
        tie_word_embeddings=True,
    )
    rows, width = settings["vocab_size"], settings["d_model"]
    layers = settings["encoder_layers"]
    decoder_layers = settings.get("decoder_layers") or layers
    prefix = _PREFIX if any(name.startswith(_PREFIX) for name in folder.shapes) else ""
    embeddings = (prefix + _SHARED, *(prefix + name for name in _TIED), _HEAD)
    scale = width**0.5 if settings.get("scale_embedding") else 1.0
    bias_shape = (1, rows)
    has_bias = folder.shapes.get(LOGITS_BIAS) == bias_shape and folder.read(LOGITS_BIAS).any()
    description = ModelDescription(
        **own,
        vocabulary_size=rows,
        d_model=width,
        num_layers=layers,
        num_decoder_layers=0 if decoder_layers == layers else decoder_layers,
        num_heads=settings["encoder_attention_heads"],
        d_ff=settings["encoder_ffn_dim"],
        max_positions=settings["max_position_embeddings"],
        logits_scale=1.0 / scale,
        logits_bias=bool(has_bias),
        forced_bos_id=settings.get("forced_bos_token_id"),
    )
    shapes = tensor_shapes(description)
    optional = dict.fromkeys(embeddings, (rows, width)) | {LOGITS_BIAS: bias_shape}
    if description.family == "pegasus":
        # Sines and cosines that follow from the sizes; newer files leave them out.
        table = (description.max_positions, width)
        kept = [name for name in _POSITIONS if prefix + name in folder.shapes]
        shapes |= dict.fromkeys(kept, table)
    folder.check({prefix + name: shape for name, shape in shapes.items()}, optional)
    aliases = {name: prefix + name for name in shapes}
    shapes[_SHARED] = (rows, width)
    aliases[_SHARED] = one_of(folder, embeddings)
    if has_bias:
        shapes[LOGITS_BIAS] = bias_shape
    return description, NamedTensors(folder, shapes, aliases, {_SHARED: scale})


def tensor_shapes(model: ModelDescription) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of the required tensors without the embedding and the logits'
    bias."""
    width = (model.d_model,)
    shapes: dict[str, tuple[int, ...]] = {}

    def dense(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = width

    for stack, depth, attentions in (
        ("encoder", model.num_layers, ("self_attn",)),
        ("decoder", model.decoder_layers, ("self_attn", "encoder_attn")),
    ):
        if model.family == "bart":
            positions = model.max_positions + _POSITIONS_BEFORE
            shapes[f"{stack}.embed_positions.weight"] = (positions, model.d_model)
        norm(_stack_norm(stack, model.family))
        for i in range(depth):
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
    """Set a BART's or a Pegasus's weights."""
    backbone = model.backbone
    backbone.token_embedding.embeddings.assign(tensors.read(_SHARED))
    for stack, layers in (
        ("encoder", backbone.encoder_transformer_layers),
        ("decoder", backbone.decoder_transformer_layers),
    ):
        positions = getattr(backbone, f"{stack}_position_embedding").position_embeddings
        positions.assign(_positions(f"{stack}.embed_positions.weight", description, tensors))
        norm = getattr(backbone, f"{stack}_embeddings_layer_norm")
        _load_norm(norm, _stack_norm(stack, description.family), tensors)
        for i, layer in enumerate(layers):
            _load_layer(layer, f"{stack}.layers.{i}", stack == "decoder", tensors)
    if description.logits_bias:
        model.get_layer(LOGITS_BIAS).bias.assign(tensors.read(LOGITS_BIAS)[0])


def _positions(name: str, description: ModelDescription, tensors: NamedTensors) -> Any:
    if description.family == "bart":
        return tensors.read(name)[_POSITIONS_BEFORE:]
    if name in tensors.names:
        return tensors.read(name)
    from pipelines.models.bart_stacks import sinusoidal_positions

    return sinusoidal_positions(description.max_positions, description.d_model)


def _stack_norm(stack: str, family: str) -> str:
    """The norm behind a BART's embedding; behind a Pegasus's last block."""
    return f"{stack}.layernorm_embedding" if family == "bart" else f"{stack}.layer_norm"


def _load_layer(layer: Any, name: str, is_decoder: bool, tensors: NamedTensors) -> None:
    attentions = [("self_attn", layer._self_attention_layer, layer._self_attention_layer_norm)]
    if is_decoder:
        cross = layer._cross_attention_layer, layer._cross_attention_layer_norm
        attentions.append(("encoder_attn", *cross))
    for part, attention, norm in attentions:
        for projection, dense in (
            ("q_proj", attention.query_dense),
            ("k_proj", attention.key_dense),
            ("v_proj", attention.value_dense),
            ("out_proj", attention.output_dense),
        ):
            _load_dense(dense, f"{name}.{part}.{projection}", tensors)
        _load_norm(norm, f"{name}.{part}_layer_norm", tensors)
    _load_dense(layer._feedforward_intermediate_dense, f"{name}.fc1", tensors)
    _load_dense(layer._feedforward_output_dense, f"{name}.fc2", tensors)
    _load_norm(layer._feedforward_layer_norm, f"{name}.final_layer_norm", tensors)


def _load_dense(dense: Any, name: str, tensors: NamedTensors) -> None:
    """Kernel and bias; keras has those of attentions with an axis for the heads."""
    for variable, values in (
        (dense.kernel, tensors.read(f"{name}.weight").T),
        (dense.bias, tensors.read(f"{name}.bias")),
    ):
        variable.assign(np.reshape(values, variable.shape))


def _load_norm(norm: Any, name: str, tensors: NamedTensors) -> None:
    norm.gamma.assign(tensors.read(f"{name}.weight"))
    norm.beta.assign(tensors.read(f"{name}.bias"))
