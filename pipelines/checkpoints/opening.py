"""Opens a checkpoint of any kind."""

from __future__ import annotations

import re
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
    "a Hugging Face folder of a T5, BART or Pegasus, a keras-hub preset, or a version that "
    "this pipeline pushed"
)
# As the Hugging Face Hub names models: t5-small, facebook/bart-large-cnn.
_HUB_NAME: Final = re.compile(r"([\w-][\w.-]*/)?[\w-][\w.-]*")


def open_checkpoint(directory: str | Path) -> Checkpoint:
    """Open a pretrained model in any supported kind of folder.

    Args:
      directory: a Hugging Face folder (``config.json`` with a ``model_type``, safetensors or
        ``pytorch_model.bin``, the tokenizer's files), a keras-hub preset (``config.json``
        with a ``class_name``, ``model.weights.h5``, the tokenizer's assets) or a pushed
        version (``saved_model.pb``, ``assets.extra/checkpoint``).

    Raises:
      CheckpointError: it is none of these, or does not match its own description.
    """
    source = Path(directory)
    if not source.is_dir():
        raise CheckpointError(
            f"{source} is not a folder. Expected: {_KINDS}{_fetching(source)}"
        )
    pushed = (source / SAVED_MODEL_FILE).is_file()
    folder = source / CHECKPOINT_DIR if pushed else source
    if not (folder / CONFIG_FILE).is_file():
        hint = " by a release that stores its checkpoint" if pushed else ""
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}. Expected: {_KINDS}{hint}")
    settings = read_json(folder / CONFIG_FILE)
    if "model_type" in settings:
        from pipelines.checkpoints.hugging_face import refuse_unsupported

        # Before its tokenizer is: what another model lacks of one says nothing.
        refuse_unsupported(folder, settings)
    try:
        tokenizer = load_pretrained_tokenizer(source)
    except TokenizerError as error:
        raise CheckpointError(str(error)) from None
    if "model_type" in settings:
        from pipelines.checkpoints.hugging_face import HuggingFaceCheckpoint

        return HuggingFaceCheckpoint(folder, tokenizer)
    if "class_name" in settings:
        from pipelines.checkpoints.keras_preset import KerasPreset

        return KerasPreset(folder, tokenizer)
    raise CheckpointError(
        f"{folder / CONFIG_FILE} has neither a model_type nor a class_name. Expected: {_KINDS}"
    )


def _fetching(source: Path) -> str:
    """How a model of the Hugging Face Hub is had, where its name was given for a folder."""
    name = str(source)
    if not _HUB_NAME.fullmatch(name):
        return ""
    folder = source.name
    return (
        f". Nothing is downloaded automatically: if {name} is a model on the Hugging Face "
        f"Hub, download it with `hf download {name} --local-dir {folder}` (of the Python "
        "package huggingface_hub; huggingface-cli in its older releases) and set "
        f"model.init_from to {folder}"
    )
