"""The interface of every kind of checkpoint."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.generation import Generation
from tokenizer.base import Tokenizer

if TYPE_CHECKING:
    import keras


class Checkpoint(ABC):
    """A pretrained model in a folder. Creating one reads no weights, but checks their names.

    Attributes:
      directory: the folder.
      description: of the model.
      tokenizer: the checkpoint's own.
      generation: how the checkpoint should be decoded, or was, if it is a model of our own.
    """

    directory: Path
    description: ModelDescription
    tokenizer: Tokenizer
    generation: Generation = Generation()

    @abstractmethod
    def load_into(self, model: keras.Model) -> None:
        """Set every weight of a model from `pipelines.models.families.build_model`.

        Raises:
          CheckpointError: a weight is missing, has another shape, or is not a number.
        """

    @abstractmethod
    def files(self) -> list[Path]:
        """The files that decide what the model computes, apart from the tokenizer's."""

    def identity(self) -> str:
        """A hash of `files`, 64 hexadecimal digits, which differs between models."""
        digest = hashlib.sha256()
        for path in sorted(self.files()):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{content}  {path.name}\n".encode())
        return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
      CheckpointError: the file is missing, or contains something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must contain a JSON object. Received: {str(value)[:80]}")
    return value


def forget(model: keras.Model) -> None:
    """Set every weight to NaN, so that `check_all_set` finds those that were not loaded."""
    for variable in model.weights:
        variable.assign(variable.numpy() * float("nan"))


def check_all_set(model: keras.Model, directory: Path) -> None:
    """Refuse a model with a weight that was not loaded, or is not a finite number.

    Raises:
      CheckpointError: with the weights' names.
    """
    import numpy as np

    unset = [each.path for each in model.weights if not np.isfinite(each.numpy()).all()]
    if unset:
        raise CheckpointError(
            f"{directory} has no finite value for some weights. Expected: a finite value "
            f"for each. Received none for: {listing(unset)}"
        )


def listing(names: Iterable[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
