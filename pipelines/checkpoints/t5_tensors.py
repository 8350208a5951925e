"""Where each tensor of a T5 stands: Hugging Face's name for it, and keras-hub's variable.

Reading a folder (`pipelines.checkpoints.hugging_face_t5`) and writing one go through the same
table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipelines.checkpoints.description import ModelDescription
from pipelines.models.architecture import Architecture

if TYPE_CHECKING:
    import keras

EMBEDDING: Final = "shared.weight"
HEAD: Final = "lm_head.weight"
BUCKETS: Final = 32  # of relative positions; keras-hub's T5 knows so many only


class Place(NamedTuple):
    """A tensor of a checkpoint and a variable of a model that hold the same values.

    Attributes:
      tensor: the name in a Hugging Face folder.
      variable: of the keras-hub model.
      turned: whether the tensor is the variable's transpose: PyTorch's kernels are ``[out,
        in]``.
    """

    tensor: str
    variable: keras.Variable
    turned: bool = False


def places(model: keras.Model, description: ModelDescription | Architecture) -> Iterator[Place]:
    """Every weight of a T5, once."""
    backbone = model.backbone
    yield Place(EMBEDDING, backbone.token_embedding.embeddings)
    if not description.tied:
        yield Place(HEAD, backbone.token_embedding.reverse_embeddings, turned=True)
    for stack, layers, norm in (
        ("encoder", backbone.encoder_transformer_layers, backbone.encoder_layer_norm),
        ("decoder", backbone.decoder_transformer_layers, backbone.decoder_layer_norm),
    ):
        for i, layer in enumerate(layers):
            yield from _of_layer(layer, f"{stack}.block.{i}.layer", description.gated)
            if description.bias_each_layer or i == 0:
                yield Place(bias_name(stack, i), layer.self_attention.relative_attention_bias)
        yield Place(f"{stack}.final_layer_norm.weight", norm.weight)


def bias_name(stack: str, layer: int) -> str:
    """The tensor of a layer's bias by relative position."""
    return f"{stack}.block.{layer}.layer.0.SelfAttention.relative_attention_bias.weight"


def inputs_of_feed_forward(gated: bool) -> tuple[str, ...]:
    """What the kernels that read a feed-forward's input are called; the activated one first."""
    return ("wi_0", "wi_1") if gated else ("wi",)


def _of_layer(layer: Any, name: str, gated: bool) -> Iterator[Place]:
    def dense(projector: Any, tensor: str) -> Place:
        return Place(f"{name}.{tensor}.weight", projector.kernel, turned=True)

    attentions = [("0.SelfAttention", layer.self_attention)]
    norms = [layer.self_attention_layer_norm]
    if layer.is_decoder:
        attentions.append(("1.EncDecAttention", layer.cross_attention))
        norms.append(layer.cross_attention_layer_norm)
    norms.append(layer.layer_norm)
    for tensor, attention in attentions:
        yield dense(attention.query_projector, f"{tensor}.q")
        yield dense(attention.key_projector, f"{tensor}.k")
        yield dense(attention.value_projector, f"{tensor}.v")
        yield dense(attention.output_projector, f"{tensor}.o")
    for j, norm in enumerate(norms):
        yield Place(f"{name}.{j}.layer_norm.weight", norm.weight)
    last = f"{len(attentions)}.DenseReluDense"
    inputs = [layer.input_projector, *([layer.gate_projector] if gated else [])]
    for projector, tensor in zip(inputs, inputs_of_feed_forward(gated), strict=True):
        yield dense(projector, f"{last}.{tensor}")
    yield dense(layer.output_projector, f"{last}.wo")
