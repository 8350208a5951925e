"""Weights as safetensors: one file, or an index and several."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ml_dtypes  # noqa: F401  (teaches NumPy bfloat16, which many checkpoints are in)
import numpy as np
import safetensors

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.weights_folder import Array, WeightsFolder, file_by_tensor

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
_FLOATS: Final = ("F64", "F32", "F16", "BF16")


class SafetensorsFolder(WeightsFolder):
    """The tensors of a folder by name. Opening reads headers only."""

    def __init__(self, directory: Path) -> None:
        """Open the files and read their headers.

        Raises:
          CheckpointError: a file is missing or broken, the index names a tensor that its file
            lacks, or a tensor does not contain floats.
        """
        self.directory = directory
        self._places = _places(directory)
        self._files = {name: _open(directory / name) for name in set(self._places.values())}
        self.shapes = {}
        for tensor, name in self._places.items():
            try:
                header = self._files[name].get_slice(tensor)
            except safetensors.SafetensorError:
                raise CheckpointError(
                    f"{directory / name} lacks the tensor {tensor}, which should be in it "
                    f"according to {INDEX_FILE}"
                ) from None
            if header.get_dtype() not in _FLOATS:
                raise CheckpointError(
                    f"the tensor {tensor} in {directory / name} does not contain floats. "
                    f"Expected: one of {', '.join(_FLOATS)}. Received: {header.get_dtype()}"
                )
            self.shapes[tensor] = tuple(header.get_shape())

    def paths(self) -> list[Path]:
        names = [*self._files]
        if (self.directory / INDEX_FILE).exists():
            names.append(INDEX_FILE)
        return [self.directory / name for name in names]

    def read(self, tensor: str) -> Array:
        values = self._files[self._places[tensor]].get_tensor(tensor)
        return np.asarray(values).astype(np.float32)


def _places(directory: Path) -> dict[str, str]:
    """File name by tensor."""
    if (directory / INDEX_FILE).exists():
        return file_by_tensor(directory / INDEX_FILE)
    file = _open(directory / WEIGHTS_FILE)
    return dict.fromkeys(file.keys(), WEIGHTS_FILE)


def _open(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="np")
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist. Expected: the weights as {WEIGHTS_FILE}, or {INDEX_FILE} "
            "with the files it names"
        ) from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is not a complete safetensors file: {error}") from None
