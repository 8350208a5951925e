"""LoRA: a checkpoint's weights stay as they are, and only a low-rank difference is trained.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv:2106.09685): the
kernel of a projection is ``W + A @ B``, of which ``W`` is frozen. ``A`` has ``rank`` columns,
``B`` has as many rows and is 0 at first. As there and in keras-hub, the adapted projections are
those of queries and values in every attention block. Keras's own layers do it; this module
chooses them and, at the end, makes a plain model of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import keras

from pipelines.models.architecture import Architecture
from pipelines.models.families import build_model

# keras-hub's BART has the names that its backbones expect; its T5 has others.
_T5_PROJECTIONS: Final = ("query_projector", "value_projector")
_LORA_WEIGHTS: Final = ("lora_kernel_a", "lora_kernel_b")


def add_lora(model: keras.Model, rank: int) -> None:
    """Freeze every weight of a model, and add the trainable ones of LoRA.

    Args:
      model: from `pipelines.models.families.build_model`, with the weights to start from.
      rank: of the differences.
    """
    backbone = model.backbone
    backbone.enable_lora(rank, [*backbone.default_lora_layer_names(), *_T5_PROJECTIONS])
    # keras-hub leaves the biases of those projections trainable.
    for variable in model.variables:
        variable.trainable = _is_lora(variable)


def merge_lora(model: keras.Model, architecture: Architecture) -> keras.Model:
    """Return a plain model with the weights that a model with LoRA computes with.

    Args:
      model: to which `add_lora` was applied.
      architecture: of it.
    """
    kernels = {
        id(layer._kernel): keras.ops.convert_to_numpy(layer.kernel)
        for layer in model.backbone._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    }
    plain = build_model(architecture)
    plain.set_weights(
        [
            kernels.get(id(weight), weight.numpy())
            for weight in model.weights
            if not _is_lora(weight)
        ]
    )
    return plain


def trained_share(model: keras.Model) -> str:
    """Say how many of a model's parameters are trained."""
    trained, every = _count(model.trainable_variables), _count(model.weights)
    return f"{trained:,} of {every:,} parameters ({trained / every:.2%})"


def _count(variables: Iterable[Any]) -> int:
    return sum(int(math.prod(variable.shape)) for variable in variables)


def _is_lora(variable: Any) -> bool:
    name: str = variable.path.rsplit("/", 1)[-1]
    return name in _LORA_WEIGHTS
