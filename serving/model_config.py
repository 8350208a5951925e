"""The model config file of a model server, which is read, and replaced atomically.

It is the text proto of a ``ModelServerConfig`` that ``tensorflow_model_server`` reads with
``--model_config_file``: which models, which of their versions, which labels.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

PLATFORM: Final = "tensorflow"
FILE_NAME: Final = "models.config"


class ModelConfigError(ValueError):
    """The model config file cannot be used; the message says which and why."""


class ModelConfigFile:
    """A model config file, which several programs can read while one replaces it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> ModelServerConfig:
        """
        Raises:
          ModelConfigError: the file is missing, or not a text proto of a ModelServerConfig.
        """
        config = ModelServerConfig()
        try:
            text_format.Parse(self.path.read_text(encoding="utf-8"), config)
        except (OSError, UnicodeDecodeError) as error:
            raise ModelConfigError(
                f"Cannot read the model config {self.path}: {error}"
            ) from None
        except text_format.ParseError as error:
            raise ModelConfigError(
                f"{self.path} is not a text proto of a ModelServerConfig: {error}. "
                "Expected: a file that tensorflow_model_server reads with "
                "--model_config_file."
            ) from None
        return config

    def write(self, config: ModelServerConfig) -> None:
        """Replace the file with a config. A reader sees either the old or the new one,
        complete, even after a power failure.

        Raises:
          ModelConfigError: the folder cannot be written.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=folder, prefix=f".{self.path.name}-", delete=False, encoding="utf-8"
            ) as file:
                file.write(text_format.MessageToString(config))
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)  # a server may run as another user
            Path(file.name).replace(self.path)
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ModelConfigError(
                f"Cannot write the model config {self.path}: {error}. It was not changed."
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Prevent other programs that use this lock from changing the file.

        Raises:
          ModelConfigError: another one has it, or the folder cannot be written.
        """
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ModelConfigError(f"Cannot lock {self.path}: {error}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ModelConfigError(
                    f"{self.path} is being changed by another program. Wait until it is done, "
                    "and try again."
                ) from None
            yield
        finally:
            os.close(descriptor)

    def add_model(self, name: str, base_path: Path) -> bool:
        """Ensure that a model is in the file; if it is not, add it with its newest version.

        Returns:
          Whether it was added.

        Raises:
          ModelConfigError: the file is not valid, or has the model at another base path.
        """
        base_path = base_path.resolve()
        config = self.read() if self.path.exists() else ModelServerConfig()
        for model in config.model_config_list.config:
            if model.name == name:
                if Path(model.base_path) != base_path:
                    raise ModelConfigError(
                        f"{self.path} has the model {name} at {model.base_path}. Received: "
                        f"{base_path}. Change it in the file, or use another file."
                    )
                return False
        config.model_config_list.config.add(
            name=name, base_path=str(base_path), model_platform=PLATFORM
        )
        self.write(config)
        return True


def model_of(config: ModelServerConfig, name: str) -> ModelConfig:
    """Return a config's model of that name, which may be changed in place.

    Raises:
      ModelConfigError: it has none.
    """
    for model in config.model_config_list.config:
        if model.name == name:
            return model
    names = [model.name for model in config.model_config_list.config]
    raise ModelConfigError(f"The model config has no model {name!r}. It has: {names}.")


def serve_labelled(model: ModelConfig, labels: Mapping[str, int]) -> None:
    """Make a model serve only the labelled versions; its newest if there is none."""
    model.ClearField("version_labels")
    model.ClearField("model_version_policy")
    for label, version in sorted(labels.items()):
        model.version_labels[label] = version
    if labels:
        model.model_version_policy.specific.versions.extend(sorted(set(labels.values())))
