"""The tensors of a Hugging Face folder by name, in any supported file format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.checkpoints.checkpoint import listing, read_json
from pipelines.checkpoints.description import CheckpointError

Array = npt.NDArray[np.float32]


class WeightsFolder(ABC):
    """Tensors by name. Opening one reads no weights.

    Attributes:
      directory: the folder.
      shapes: of every tensor, by name.
    """

    directory: Path
    shapes: dict[str, tuple[int, ...]]

    @abstractmethod
    def paths(self) -> list[Path]:
        """The files, including an index."""

    @abstractmethod
    def read(self, tensor: str) -> Array:
        """Read one tensor's values, as float32."""

    def check(
        self,
        expected: Mapping[str, tuple[int, ...]],
        optional: Mapping[str, tuple[int, ...]],
        ignored: Iterable[str] = (),
    ) -> None:
        """Check that the folder has the tensors that a model requires, and no unknown ones.

        Args:
          expected: shapes of the required tensors, by name.
          optional: shapes of the optional tensors, by name.
          ignored: names of tensors that may be present and are not used.

        Raises:
          CheckpointError: tensors are missing, have another shape, or are unknown.
        """
        if missing := expected.keys() - self.shapes.keys():
            raise CheckpointError(
                f"{self.directory} lacks tensors that its config requires: {listing(missing)}"
            )
        known = {**expected, **optional}
        for name, shape in known.items():
            if name in self.shapes and self.shapes[name] != shape:
                raise CheckpointError(
                    f"the tensor {name} of {self.directory} has a shape that does not match "
                    f"its config. Expected: {list(shape)}. Received: "
                    f"{list(self.shapes[name])}"
                )
        if unknown := self.shapes.keys() - known.keys() - set(ignored):
            raise CheckpointError(
                f"{self.directory} contains tensors that do not belong to its config: "
                f"{listing(unknown)}"
            )


def file_by_tensor(index: Path) -> dict[str, str]:
    """Read the index of several files of weights: the file name for each tensor.

    Raises:
      CheckpointError: it is not an index, or names a file outside its folder.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(
            f"{index} has no weight_map. Expected: an object of file names by tensor"
        )
    for name in set(places.values()):
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} names a file outside its folder: {name!r}")
    return places
