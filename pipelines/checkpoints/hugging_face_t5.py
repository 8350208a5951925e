"""Hugging Face's T5: 1.0 (ReLU, tied), v1.1 with FLAN (gated GELU, untied), mT5 and UMT5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.hugging_face_tensors import NamedTensors, one_of, require
from pipelines.checkpoints.weights_folder import WeightsFolder
from pipelines.models.architecture import ACTIVATIONS

if TYPE_CHECKING:
    import keras

_EMBEDDING: Final = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
_HEAD: Final = "lm_head.weight"
# In T5 1.0's own files; transformers does not read it either.
_IGNORED: Final = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)
_BUCKETS, _MAX_DISTANCE = 32, 128  # of relative positions; keras-hub's T5 knows these only


def describe(
    settings: Mapping[str, Any], folder: WeightsFolder
) -> tuple[ModelDescription, NamedTensors]:
    """Describe a T5 from its ``config.json`` and tensors.

    Raises:
      CheckpointError: a setting is not supported, or the tensors do not match the settings.
      KeyError: a setting is missing.
    """
    require(
        settings,
        relative_attention_num_buckets=_BUCKETS,
        relative_attention_max_distance=_MAX_DISTANCE,
    )
    activation, gated = _feed_forward(settings.get("feed_forward_proj", "relu"))
    size = (settings["vocab_size"], settings["d_model"])
    names = dict.fromkeys((*_EMBEDDING, _HEAD), size)
    # mT5 scales nothing, whatever its settings say.
    scaled = settings["model_type"] != "mt5" and _is_scaled(settings)
    own_head = _own_head(folder)
    decoder_layers = settings.get("num_decoder_layers") or settings["num_layers"]
    pad_id = settings.get("pad_token_id", 0)
    start_id = settings.get("decoder_start_token_id")
    description = ModelDescription(
        family="t5",
        vocabulary_size=settings["vocab_size"],
        d_model=settings["d_model"],
        num_layers=settings["num_layers"],
        num_heads=settings["num_heads"],
        d_ff=settings["d_ff"],
        d_kv=settings["d_kv"],
        activation=activation,
        gated=gated,
        # keras-hub scales before a tied output layer and never before one of its own.
        tied=scaled and not own_head,
        layer_norm_epsilon=settings.get("layer_norm_epsilon", 1e-6),
        pad_id=pad_id,
        eos_id=settings.get("eos_token_id", 1),
        decoder_start_id=pad_id if start_id is None else start_id,
        forced_bos_id=settings.get("forced_bos_token_id"),
        num_decoder_layers=decoder_layers if decoder_layers != settings["num_layers"] else 0,
        bias_each_layer=settings["model_type"] == "umt5",
    )
    shapes = tensor_shapes(description)
    folder.check(shapes, names, _IGNORED)
    embedding = one_of(folder, _EMBEDDING)
    shapes[_EMBEDDING[0]] = size
    aliases = {_EMBEDDING[0]: embedding}
    factors = {}
    if not description.tied:
        shapes[_HEAD] = size
        aliases[_HEAD] = _HEAD if own_head else embedding
        if scaled:
            factors[_HEAD] = description.d_model**-0.5
    return description, NamedTensors(folder, shapes, aliases, factors)


def tensor_shapes(model: ModelDescription) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of all tensors except the embeddings."""
    inner = model.num_heads * model.head_dim
    wide, narrow = (model.d_ff, model.d_model), (model.d_model, model.d_ff)
    inputs = ("wi_0", "wi_1") if model.gated else ("wi",)
    shapes: dict[str, tuple[int, ...]] = {}
    for stack, depth, attentions in (
        ("encoder", model.num_layers, ("SelfAttention",)),
        ("decoder", model.decoder_layers, ("SelfAttention", "EncDecAttention")),
    ):
        for i in range(depth):
            layer = f"{stack}.block.{i}.layer"
            for j, attention in enumerate(attentions):
                for name in "qkv":
                    shapes[f"{layer}.{j}.{attention}.{name}.weight"] = (inner, model.d_model)
                shapes[f"{layer}.{j}.{attention}.o.weight"] = (model.d_model, inner)
            last = f"{layer}.{len(attentions)}.DenseReluDense"
            shapes |= {f"{last}.{name}.weight": wide for name in inputs}
            shapes[f"{last}.wo.weight"] = narrow
            for j in range(len(attentions) + 1):
                shapes[f"{layer}.{j}.layer_norm.weight"] = (model.d_model,)
            if model.bias_each_layer or i == 0:
                shapes[_bias(stack, i)] = (_BUCKETS, model.num_heads)
        shapes[f"{stack}.final_layer_norm.weight"] = (model.d_model,)
    return shapes


def load(model: keras.Model, description: ModelDescription, tensors: NamedTensors) -> None:
    """Set a T5's weights; keras-hub has no converter for it."""
    backbone = model.backbone
    backbone.token_embedding.embeddings.assign(tensors.read(_EMBEDDING[0]))
    if not description.tied:
        backbone.token_embedding.reverse_embeddings.assign(tensors.read(_HEAD).T)
    for stack, layers, norm in (
        ("encoder", backbone.encoder_transformer_layers, backbone.encoder_layer_norm),
        ("decoder", backbone.decoder_transformer_layers, backbone.decoder_layer_norm),
    ):
        for i, layer in enumerate(layers):
            _load_layer(layer, f"{stack}.block.{i}.layer", description.gated, tensors)
            if description.bias_each_layer or i == 0:
                bias = tensors.read(_bias(stack, i))
                layer.self_attention.relative_attention_bias.assign(bias)
        norm.weight.assign(tensors.read(f"{stack}.final_layer_norm.weight"))


def _bias(stack: str, layer: int) -> str:
    return f"{stack}.block.{layer}.layer.0.SelfAttention.relative_attention_bias.weight"


def _load_layer(layer: Any, name: str, gated: bool, tensors: NamedTensors) -> None:
    def dense(projector: Any, tensor: str) -> None:
        projector.kernel.assign(tensors.read(f"{name}.{tensor}.weight").T)

    def attention(target: Any, tensor: str) -> None:
        dense(target.query_projector, f"{tensor}.q")
        dense(target.key_projector, f"{tensor}.k")
        dense(target.value_projector, f"{tensor}.v")
        dense(target.output_projector, f"{tensor}.o")

    norms = [layer.self_attention_layer_norm]
    attention(layer.self_attention, "0.SelfAttention")
    if layer.is_decoder:
        attention(layer.cross_attention, "1.EncDecAttention")
        norms.append(layer.cross_attention_layer_norm)
    norms.append(layer.layer_norm)
    for j, norm in enumerate(norms):
        norm.weight.assign(tensors.read(f"{name}.{j}.layer_norm.weight"))
    last = f"{len(norms) - 1}.DenseReluDense"
    dense(layer.input_projector, f"{last}.wi_0" if gated else f"{last}.wi")
    if gated:
        dense(layer.gate_projector, f"{last}.wi_1")
    dense(layer.output_projector, f"{last}.wo")


def _feed_forward(setting: str) -> tuple[str, bool]:
    """Activation and whether it is gated: of ``gated-gelu`` or ``relu``."""
    # Not a slip: what T5 calls gated-gelu is the approximation, in transformers as well.
    name = {"gated-gelu": "gated-gelu_new"}.get(setting, setting)
    activation = name.removeprefix("gated-")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"feed_forward_proj is not supported. Expected: one of {', '.join(ACTIVATIONS)}, "
            f"or gated- and one of them. Received: {setting!r}"
        )
    return activation, activation != name


def _own_head(folder: WeightsFolder) -> bool:
    """Whether the output layer is another matrix than the embedding."""
    if _HEAD not in folder.shapes:
        return False
    embedding = one_of(folder, _EMBEDDING)
    if folder.shapes[embedding] != folder.shapes[_HEAD]:
        return True  # refused by its shape soon
    return not np.array_equal(folder.read(embedding), folder.read(_HEAD))


def _is_scaled(settings: Mapping[str, Any]) -> bool:
    """Whether states are scaled before the output layer.

    transformers 5 says so by itself, and then ``tie_word_embeddings`` is true in any case;
    before, a model was scaled if, and only if, it was tied.
    """
    scaled = settings.get("scale_decoder_outputs")
    if scaled is not None:
        return bool(scaled)
    return settings.get("tie_word_embeddings") is not False
