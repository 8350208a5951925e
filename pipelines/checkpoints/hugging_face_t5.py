"""Hugging Face's T5: 1.0 (ReLU, tied), v1.1 with FLAN (gated GELU, untied), mT5 and UMT5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.hugging_face_tensors import NamedTensors, one_of, require
from pipelines.checkpoints.t5_tensors import (
    BUCKETS,
    EMBEDDING,
    HEAD,
    bias_name,
    inputs_of_feed_forward,
    places,
)
from pipelines.checkpoints.weights_folder import WeightsFolder
from pipelines.models.architecture import ACTIVATIONS

if TYPE_CHECKING:
    import keras

_EMBEDDING: Final = (
    EMBEDDING,
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
)
# In T5 1.0's own files; transformers does not read it either.
_IGNORED: Final = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)
_MAX_DISTANCE: Final = 128  # of relative positions; keras-hub's T5 knows this one only


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
        relative_attention_num_buckets=BUCKETS,
        relative_attention_max_distance=_MAX_DISTANCE,
    )
    activation, gated = _feed_forward(settings.get("feed_forward_proj", "relu"))
    size = (settings["vocab_size"], settings["d_model"])
    names = dict.fromkeys((*_EMBEDDING, HEAD), size)
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
    shapes[EMBEDDING] = size
    aliases = {EMBEDDING: embedding}
    factors = {}
    if not description.tied:
        shapes[HEAD] = size
        aliases[HEAD] = HEAD if own_head else embedding
        if scaled:
            factors[HEAD] = description.d_model**-0.5
    return description, NamedTensors(folder, shapes, aliases, factors)


def tensor_shapes(model: ModelDescription) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of all tensors except the embeddings."""
    inner = model.num_heads * model.head_dim
    wide, narrow = (model.d_ff, model.d_model), (model.d_model, model.d_ff)
    inputs = inputs_of_feed_forward(model.gated)
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
                shapes[bias_name(stack, i)] = (BUCKETS, model.num_heads)
        shapes[f"{stack}.final_layer_norm.weight"] = (model.d_model,)
    return shapes


def load(model: keras.Model, description: ModelDescription, tensors: NamedTensors) -> None:
    """Set a T5's weights; keras-hub has no converter for it."""
    for place in places(model, description):
        values = tensors.read(place.tensor)
        place.variable.assign(values.T if place.turned else values)


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
    if HEAD not in folder.shapes:
        return False
    embedding = one_of(folder, _EMBEDDING)
    if folder.shapes[embedding] != folder.shapes[HEAD]:
        return True  # refused by its shape soon
    return not np.array_equal(folder.read(embedding), folder.read(HEAD))


def _is_scaled(settings: Mapping[str, Any]) -> bool:
    """Whether states are scaled before the output layer.

    transformers 5 says so by itself, and then ``tie_word_embeddings`` is true in any case;
    before, a model was scaled if, and only if, it was tied.
    """
    scaled = settings.get("scale_decoder_outputs")
    if scaled is not None:
        return bool(scaled)
    return settings.get("tie_word_embeddings") is not False
