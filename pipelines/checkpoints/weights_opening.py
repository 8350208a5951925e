"""Opens the weights of a Hugging Face folder in any supported format."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.safetensors_folder import INDEX_FILE, WEIGHTS_FILE, SafetensorsFolder
from pipelines.checkpoints.torch_folder import TORCH_FILE, TORCH_INDEX_FILE, TorchFolder
from pipelines.checkpoints.weights_folder import WeightsFolder

# Of frameworks whose files are not read, with their endings.
_OTHERS: Final = ("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "model.ckpt.index")


def open_weights(directory: Path) -> WeightsFolder:
    """Open the weights of a folder: safetensors if it has both formats.

    Raises:
      CheckpointError: the folder has no weights that can be read, or they are broken.
    """
    if any((directory / name).exists() for name in (WEIGHTS_FILE, INDEX_FILE)):
        return SafetensorsFolder(directory)
    if any((directory / name).exists() for name in (TORCH_FILE, TORCH_INDEX_FILE)):
        return TorchFolder(directory)
    others = [name for name in _OTHERS if (directory / name).exists()]
    received = f" Received: {', '.join(others)}, which is not read" if others else ""
    raise CheckpointError(
        f"{directory} has no weights. Expected: {WEIGHTS_FILE} or {TORCH_FILE}, or an index "
        f"({INDEX_FILE}, {TORCH_INDEX_FILE}) with the files it names.{received}"
    )
