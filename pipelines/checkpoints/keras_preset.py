"""keras-hub presets, which this pipeline also writes so that training can start from a
model."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipelines.checkpoints.checkpoint import Checkpoint, check_all_set, forget, read_json
from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.generation import DECODING_SETTINGS, kept_generation
from pipelines.models.architecture import LOGITS_BIAS, Architecture
from tokenizer.base import Tokenizer

if TYPE_CHECKING:
    import keras

CONFIG_FILE: Final = "config.json"
DESCRIPTION_FILE: Final = "description.json"
DECODING_FILE: Final = "decoding.json"
BIAS_FILE: Final = f"{LOGITS_BIAS}.npy"
_WEIGHTS: Final = ("model.weights.h5", "model.weights.json")  # the second where it is sharded
_CLASSES: Final = {"T5Backbone": "t5", "BartBackbone": "bart"}
_ACTIVATIONS: Final = {
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "gelu_approximate": "gelu_new",
}


class KerasPreset(Checkpoint):
    """A preset of a T5 or a BART: ``config.json`` and ``model.weights.h5``.

    A ``description.json`` beside them, which `save_preset` writes, contains what keras-hub has
    no field for. Without it the decoder starts as in keras-hub's preprocessors.
    Its ``decoding.json`` says how the model was decoded, which is the default for the next one.
    """

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        """Read the settings.

        Raises:
          CheckpointError: the folder is not a preset of a T5 or a BART, or lacks a file.
        """
        self.directory = directory
        self.tokenizer = tokenizer
        self._weights = _weights_file(directory)
        description = directory / DESCRIPTION_FILE
        if description.exists():
            self.description = _read_description(description)
        else:
            self.description = _described(directory / CONFIG_FILE, tokenizer)
        if (directory / DECODING_FILE).exists():
            self.generation = kept_generation(read_json(directory / DECODING_FILE))

    def load_into(self, model: keras.Model) -> None:
        import numpy as np

        forget(model)
        try:
            model.backbone.load_weights(str(self._weights))
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(
                f"{self._weights} does not contain the weights that {CONFIG_FILE} "
                f"describes: {error}"
            ) from None
        if self.description.logits_bias:
            bias = np.load(self.directory / BIAS_FILE, allow_pickle=False)
            model.get_layer(LOGITS_BIAS).bias.assign(bias)
        check_all_set(model, self.directory)

    def files(self) -> list[Path]:
        others = (CONFIG_FILE, DESCRIPTION_FILE, BIAS_FILE)
        weights = [self._weights]
        if self._weights.suffix == ".json":
            weights += self.directory.glob("model_*.weights.h5")
        return [
            *weights,
            *(self.directory / name for name in others if (self.directory / name).exists()),
        ]


def save_preset(
    model: keras.Model, architecture: Architecture, start_ids: tuple[int, ...], directory: Path
) -> None:
    """Write a model's weights, float32, as a preset that `KerasPreset` and keras-hub read.

    How the model is decoded is not part of it: `save_decoding` adds that.

    Args:
      model: from `pipelines.models.families.build_model`.
      architecture: of the model.
      start_ids: ids before the task prefix in every encoder row.
      directory: where to write; created if it does not exist.
    """
    import numpy as np

    directory.mkdir(parents=True, exist_ok=True)
    model.backbone.save_to_preset(str(directory))
    names = {field.name for field in fields(ModelDescription)} - {"encoder_start_ids"}
    description = ModelDescription(
        **{name: getattr(architecture, name) for name in names}, encoder_start_ids=start_ids
    )
    if architecture.family == "bart" and not architecture.max_positions:
        # As many rows as its limits needed: whoever has others must know of them.
        description = replace(description, max_positions=architecture.positions)
    text = json.dumps(asdict(description), indent=2, sort_keys=True) + "\n"
    (directory / DESCRIPTION_FILE).write_text(text, encoding="utf-8")
    if architecture.logits_bias:
        np.save(directory / BIAS_FILE, model.get_layer(LOGITS_BIAS).bias.numpy())


def save_decoding(architecture: Architecture, directory: Path) -> None:
    """Write, beside a preset, how its model is decoded: the default for whoever starts from
    it."""
    decoding = {name: getattr(architecture, name) for name in DECODING_SETTINGS}
    text = json.dumps(decoding, indent=2, sort_keys=True) + "\n"
    (directory / DECODING_FILE).write_text(text, encoding="utf-8")


def _weights_file(directory: Path) -> Path:
    for name in _WEIGHTS:
        if (directory / name).is_file():
            return directory / name
    raise CheckpointError(
        f"{directory} has no weights. Expected: {' or '.join(_WEIGHTS)}, as keras-hub's "
        "save_to_preset writes them"
    )


def _read_description(path: Path) -> ModelDescription:
    values = read_json(path)
    try:
        values["encoder_start_ids"] = tuple(values["encoder_start_ids"])
        return ModelDescription(**values)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a description of a model: {error}. Expected: a file written by "
            "this release of Tallygraph"
        ) from None


def _described(path: Path, tokenizer: Tokenizer) -> ModelDescription:
    config = read_json(path)
    family = _CLASSES.get(config.get("class_name", ""))
    if family is None:
        raise CheckpointError(
            f"{path} names a class that is not supported. Expected: one of "
            f"{', '.join(_CLASSES)}. Received: {config.get('class_name')!r}"
        )
    try:
        values = _values(family, config["config"], tokenizer)
    except KeyError as error:
        raise CheckpointError(f"{path} lacks the setting {error}") from None
    return ModelDescription(
        family=family, pad_id=tokenizer.pad_id, eos_id=tokenizer.eos_id, **values
    )


def _values(family: str, own: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    values = {
        "vocabulary_size": own["vocabulary_size"],
        "d_model": own["hidden_dim"],
        "d_ff": own["intermediate_dim"],
        "num_layers": own["num_layers"],
        "num_heads": own["num_heads"],
    }
    if family == "bart":
        bos_id = tokenizer.bos_id
        return values | {
            "max_positions": own["max_sequence_length"],
            "decoder_start_id": tokenizer.eos_id,
            "forced_bos_id": bos_id,
            "encoder_start_ids": () if bos_id is None else (bos_id,),
        }
    return values | {
        "d_kv": own["key_value_dim"] or 0,
        "activation": _activation(own["activation"]),
        "gated": own["use_gated_activation"],
        "tied": own["tie_embedding_weights"],
        "layer_norm_epsilon": own["layer_norm_epsilon"],
        "decoder_start_id": tokenizer.pad_id,
    }


def _activation(serialized: Any) -> str:
    """Name of an activation as Keras serialises it: by name, or as a registered function."""
    name = serialized["config"] if isinstance(serialized, dict) else serialized
    own_name = str(name).rpartition(">")[2]
    if own_name not in _ACTIVATIONS:
        raise CheckpointError(
            f"the activation is not supported. Expected: one of {', '.join(_ACTIVATIONS)}. "
            f"Received: {name!r}"
        )
    return _ACTIVATIONS[own_name]
