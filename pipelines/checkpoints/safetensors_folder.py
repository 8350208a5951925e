"""Weights of a Hugging Face folder: one safetensors file, or an index and several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import ml_dtypes  # noqa: F401  (teaches NumPy bfloat16, which many checkpoints are in)
import numpy as np
import numpy.typing as npt
import safetensors

from pipelines.checkpoints.checkpoint import listing, read_json
from pipelines.checkpoints.description import CheckpointError

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
_FLOATS: Final = ("F64", "F32", "F16", "BF16")

Array = npt.NDArray[np.float32]


class SafetensorsFolder:
    """The tensors of a folder by name. Opening reads headers only."""

    def __init__(self, directory: Path) -> None:
        """Open the files and read their headers.

        Raises:
          CheckpointError: a file is missing or broken, the index names a tensor that its
            file lacks, or a tensor is of another type than a float.
        """
        self.directory = directory
        self._places = _places(directory)
        self._files = {name: _open(directory / name) for name in set(self._places.values())}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for tensor, name in self._places.items():
            try:
                header = self._files[name].get_slice(tensor)
            except safetensors.SafetensorError:
                raise CheckpointError(
                    f"{directory / name} lacks the tensor {tensor}, which {INDEX_FILE} says it "
                    "holds"
                ) from None
            if header.get_dtype() not in _FLOATS:
                raise CheckpointError(
                    f"the tensor {tensor} in {directory / name} is not of floats. Expected: "
                    f"one of {', '.join(_FLOATS)}. Received: {header.get_dtype()}"
                )
            self.shapes[tensor] = tuple(header.get_shape())

    def paths(self) -> list[Path]:
        """The files, the index included."""
        names = [*self._files]
        if (self.directory / INDEX_FILE).exists():
            names.append(INDEX_FILE)
        return [self.directory / name for name in names]

    def read(self, tensor: str) -> Array:
        """One tensor's values, as float32."""
        values = self._files[self._places[tensor]].get_tensor(tensor)
        return np.asarray(values).astype(np.float32)

    def check(
        self,
        expected: Mapping[str, tuple[int, ...]],
        optional: Mapping[str, tuple[int, ...]],
        ignored: Iterable[str] = (),
    ) -> None:
        """Hold the folder to the tensors that a model must and may have.

        Args:
          expected: shapes of what there must be, by name.
          optional: shapes of what there may be.
          ignored: names of what may be there and is not used.

        Raises:
          CheckpointError: tensors are missing, of another shape, or not known.
        """
        if missing := expected.keys() - self.shapes.keys():
            raise CheckpointError(
                f"{self.directory} lacks tensors that its config asks for: {listing(missing)}"
            )
        known = {**expected, **optional}
        for name, shape in known.items():
            if name in self.shapes and self.shapes[name] != shape:
                raise CheckpointError(
                    f"the tensor {name} of {self.directory} has another shape than its config "
                    f"says. Expected: {list(shape)}. Received: {list(self.shapes[name])}"
                )
        if unknown := self.shapes.keys() - known.keys() - set(ignored):
            raise CheckpointError(
                f"{self.directory} holds tensors that its config has no place for: "
                f"{listing(unknown)}"
            )


def _places(directory: Path) -> dict[str, str]:
    """File name by tensor."""
    if (directory / INDEX_FILE).exists():
        places = read_json(directory / INDEX_FILE).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise CheckpointError(
                f"{directory / INDEX_FILE} has no weight_map. Expected: an object of file "
                "names by tensor"
            )
        for name in set(places.values()):
            if not isinstance(name, str) or Path(name).name != name:
                raise CheckpointError(
                    f"{directory / INDEX_FILE} names a file outside of its folder: {name!r}"
                )
        return places
    file = _open(directory / WEIGHTS_FILE)
    return dict.fromkeys(file.keys(), WEIGHTS_FILE)


def _open(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="np")
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist. Expected: the weights as {WEIGHTS_FILE}, or {INDEX_FILE} "
            "with the files it names; a pytorch_model.bin is not read"
        ) from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None
