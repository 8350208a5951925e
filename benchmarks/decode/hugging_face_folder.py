"""Writes a T5 of ours as transformers saves one: ``config.json`` and ``model.safetensors``.

The opposite of `pipelines.checkpoints.hugging_face_t5.load`, for engines that read such a
folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from safetensors.numpy import save_file

from pipelines.checkpoints.t5_tensors import places
from pipelines.models.architecture import Architecture

_CONFIG: Final = "config.json"
_GENERATION: Final = "generation_config.json"
_WEIGHTS: Final = "model.safetensors"
Tensors = dict[str, np.ndarray]


def t5_config(model: Architecture) -> dict[str, Any]:
    """What transformers' ``T5Config`` is made of.

    Raises:
      SystemExit: the model is not a T5 as transformers knows it.
    """
    problems = {
        f"the family {model.family}": model.family != "t5",
        "an output layer of its own": not model.tied,
        "positions of each layer": model.bias_each_layer,
        "a forced BOS": model.forced_bos_id is not None,
        # Its name means gelu_new to transformers.
        "a feed-forward of gated gelu": model.gated and model.activation == "gelu",
    }
    found = [problem for problem, there in problems.items() if there]
    if found:
        raise SystemExit(
            "the model cannot be written for transformers and CTranslate2 here. Expected: a T5 "
            "whose output layer is its embedding, as the pipeline trains one. Received: a "
            f"model with {' and '.join(found)}. Measure another version"
        )
    return {
        "vocab_size": model.vocabulary_size,
        "d_model": model.d_model,
        "d_kv": model.head_dim,
        "d_ff": model.d_ff,
        "num_layers": model.num_layers,
        "num_decoder_layers": model.decoder_layers,
        "num_heads": model.num_heads,
        "feed_forward_proj": f"gated-{model.activation}" if model.gated else model.activation,
        "layer_norm_epsilon": model.layer_norm_epsilon,
        "tie_word_embeddings": True,
        "pad_token_id": model.pad_id,
        "eos_token_id": model.eos_id,
        "decoder_start_token_id": model.decoder_start_id,
    }


def write_t5(model: keras.Model, architecture: Architecture, directory: Path) -> None:
    """Write a T5, float32, without a tokenizer.

    Args:
      model: from `pipelines.models.families.build_model`.
      architecture: of the model.
      directory: where to write; created if it does not exist.

    Raises:
      SystemExit: see `t5_config`.
    """
    config = t5_config(architecture)
    special = ("pad_token_id", "eos_token_id", "decoder_start_token_id")
    generation = {name: config[name] for name in special}
    config |= {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    directory.mkdir(parents=True, exist_ok=True)
    for name, values in ((_CONFIG, config), (_GENERATION, generation)):
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (directory / name).write_text(text, encoding="utf-8")
    save_file(t5_tensors(model, architecture), directory / _WEIGHTS, metadata={"format": "pt"})


def t5_tensors(model: keras.Model, architecture: Architecture) -> Tensors:
    """A T5's tensors by transformers' names."""
    tensors = {}
    for place in places(model, architecture):
        values = np.asarray(place.variable)
        tensors[place.tensor] = np.ascontiguousarray(values.T if place.turned else values)
    return tensors
