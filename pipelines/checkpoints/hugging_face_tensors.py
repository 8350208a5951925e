"""Tensors of a Hugging Face model by a unique name each; it records which were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.weights_folder import Array, WeightsFolder


class NamedTensors:
    """The tensors of a model."""

    def __init__(
        self,
        folder: WeightsFolder,
        shapes: Mapping[str, tuple[int, ...]],
        aliases: Mapping[str, str],
        factors: Mapping[str, float],
    ) -> None:
        """Name the tensors.

        Args:
          folder: where they are.
          shapes: shapes of the tensors, by the names that the model knows them by.
          aliases: names in the folder, if they differ.
          factors: for tensors whose scale in the model differs from that in the folder.
        """
        self._folder = folder
        self._shapes = shapes
        self._aliases = aliases
        self._factors = factors
        self._used: set[str] = set()

    @property
    def names(self) -> Set[str]:
        """Names of the tensors."""
        return self._shapes.keys()

    def start(self) -> None:
        """Reset the record of which tensors were used."""
        self._used = set()

    def unused(self) -> set[str]:
        """Names of tensors that were not read since `start`."""
        return self._shapes.keys() - self._used

    def read(self, name: str) -> Array:
        """Return one tensor's values, in the model's scale.

        Raises:
          CheckpointError: the model has no tensor of this name.
        """
        if name not in self._shapes:
            raise CheckpointError(
                f"{self._folder.directory} has no tensor {name}. Expected: the tensors of its "
                "config"
            )
        self._used.add(name)
        values = self._folder.read(self._aliases.get(name, name))
        return values * np.float32(self._factors.get(name, 1.0))


def one_of(folder: WeightsFolder, names: Sequence[str]) -> str:
    """Return the first of several names for one tensor that the folder has; the others must be
    equal.

    Raises:
      CheckpointError: the folder has none of them, or two that differ.
    """
    there = [name for name in names if name in folder.shapes]
    if not there:
        raise CheckpointError(
            f"{folder.directory} lacks the tensor {names[0]}. Expected: this or one of "
            f"{', '.join(names[1:])}"
        )
    first = there[0]
    for other in there[1:]:
        same_shape = folder.shapes[first] == folder.shapes[other]
        if not (same_shape and np.array_equal(folder.read(first), folder.read(other))):
            raise CheckpointError(
                f"{first} and {other} differ in {folder.directory}. Expected: one embedding "
                "that encoder and decoder share"
            )
    return first


def require(settings: Mapping[str, Any], **expected: Any) -> None:
    """Refuse settings that are given and differ from the expected values.

    Raises:
      CheckpointError: lists all of them.
    """
    others = [
        f"{name} must be {value!r}. Received: {settings[name]!r}"
        for name, value in expected.items()
        if settings.get(name) is not None and settings[name] != value
    ]
    if others:
        raise CheckpointError("this model is not supported: " + "; ".join(others))
