"""The tensors of a Hugging Face folder by name, whatever kind of file they are in."""

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
        """The files, an index included."""

    @abstractmethod
    def read(self, tensor: str) -> Array:
        """One tensor's values, as float32."""

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


def file_by_tensor(index: Path) -> dict[str, str]:
    """What an index of several files of weights says: file name by tensor.

    Raises:
      CheckpointError: it is no index, or names a file outside of its folder.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(
            f"{index} has no weight_map. Expected: an object of file names by tensor"
        )
    for name in set(places.values()):
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index} names a file outside of its folder: {name!r}")
    return places
