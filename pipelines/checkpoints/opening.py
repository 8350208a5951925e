"""Which kind of checkpoint a folder is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipelines.checkpoints.checkpoint import Checkpoint, read_json
from pipelines.checkpoints.description import CheckpointError
from tokenizer.base import TokenizerError
from tokenizer.pretrained import load_pretrained_tokenizer

CONFIG_FILE: Final = "config.json"
SAVED_MODEL_FILE: Final = "saved_model.pb"
# In a version that was pushed: what training needs to go on from it.
CHECKPOINT_DIR: Final = "assets.extra/checkpoint"
_KINDS: Final = (
    "a Hugging Face folder of a T5 or BART, a keras-hub preset, or a version that this "
    "pipeline pushed"
)


def open_checkpoint(directory: str | Path) -> Checkpoint:
    """Open a pretrained model, whatever kind of folder it is in.

    Args:
      directory: a Hugging Face folder (``config.json`` with a ``model_type``, safetensors,
        the tokenizer's original files), a keras-hub preset (``config.json`` with a
        ``class_name``, ``model.weights.h5``, the tokenizer's assets) or a pushed version
        (``saved_model.pb``, ``assets.extra/checkpoint``).

    Raises:
      CheckpointError: it is none of these, or not what it says.
    """
    source = Path(directory)
    if not source.is_dir():
        raise CheckpointError(f"{source} is no folder. Expected: {_KINDS}")
    pushed = (source / SAVED_MODEL_FILE).is_file()
    folder = source / CHECKPOINT_DIR if pushed else source
    if not (folder / CONFIG_FILE).is_file():
        hint = " by a release that keeps its checkpoint" if pushed else ""
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}. Expected: {_KINDS}{hint}")
    try:
        tokenizer = load_pretrained_tokenizer(source)
    except TokenizerError as error:
        raise CheckpointError(str(error)) from None
    settings = read_json(folder / CONFIG_FILE)
    if "model_type" in settings:
        from pipelines.checkpoints.hugging_face import HuggingFaceCheckpoint

        return HuggingFaceCheckpoint(folder, tokenizer)
    if "class_name" in settings:
        from pipelines.checkpoints.keras_preset import KerasPreset

        return KerasPreset(folder, tokenizer)
    raise CheckpointError(
        f"{folder / CONFIG_FILE} has neither a model_type nor a class_name. Expected: {_KINDS}"
    )
