"""A local Hugging Face folder of T5 or BART."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipelines.checkpoints import hugging_face_bart, hugging_face_t5
from pipelines.checkpoints.checkpoint import (
    Checkpoint,
    check_all_set,
    forget,
    listing,
    read_json,
)
from pipelines.checkpoints.description import CheckpointError, ModelDescription
from pipelines.checkpoints.hugging_face_tensors import NamedTensors
from pipelines.checkpoints.safetensors_folder import SafetensorsFolder
from tokenizer.base import Tokenizer

if TYPE_CHECKING:
    import keras

CONFIG_FILE: Final = "config.json"
GENERATION_FILE: Final = "generation_config.json"


class _Family(NamedTuple):
    """How a ``model_type`` is read.

    Attributes:
      describe: settings and the folder's tensors → description and named tensors; checks
        both.
      load: sets a model's weights from the named tensors.
    """

    describe: Callable[
        [Mapping[str, Any], SafetensorsFolder], tuple[ModelDescription, NamedTensors]
    ]
    load: Callable[[keras.Model, ModelDescription, NamedTensors], None]


_FAMILIES: Final[Mapping[str, _Family]] = {
    "t5": _Family(hugging_face_t5.describe, hugging_face_t5.load),
    "bart": _Family(hugging_face_bart.describe, hugging_face_bart.load),
}


class HuggingFaceCheckpoint(Checkpoint):
    """``config.json``, safetensors and the tokenizer's original files in one folder."""

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        """Read the settings and check names and shapes of the tensors against them.

        Raises:
          CheckpointError: a setting is not supported, or the tensors are not what it says.
        """
        self.directory = directory
        self.tokenizer = tokenizer
        settings = read_settings(directory)
        model_type = settings.get("model_type")
        family = _FAMILIES.get(str(model_type))
        if family is None:
            raise CheckpointError(
                f"{directory} holds a model of a type that cannot be trained here. Expected: "
                f"one of {', '.join(_FAMILIES)}. Received: model_type {model_type!r}"
            )
        self._family = family
        self._folder = SafetensorsFolder(directory)
        try:
            self.description, self._tensors = self._family.describe(settings, self._folder)
        except KeyError as error:
            raise CheckpointError(
                f"{directory / CONFIG_FILE} lacks the setting {error}"
            ) from None

    def load_into(self, model: keras.Model) -> None:
        forget(model)
        self._tensors.start()
        self._family.load(model, self.description, self._tensors)
        check_all_set(model, self.directory)
        if unused := self._tensors.unused():
            raise CheckpointError(
                f"tensors of {self.directory} were not taken over: {listing(unused)}"
            )

    def files(self) -> list[Path]:
        names = (CONFIG_FILE, GENERATION_FILE)
        settings = [self.directory / name for name in names]
        return [*(path for path in settings if path.exists()), *self._folder.paths()]


def read_settings(directory: Path) -> dict[str, Any]:
    """``config.json``, and over it what ``generation_config.json`` says of the start.

    Older versions of transformers keep the decoder's start in the first, newer ones in the
    second, which wins there, too.
    """
    settings = read_json(directory / CONFIG_FILE)
    if (directory / GENERATION_FILE).exists():
        generation = read_json(directory / GENERATION_FILE)
        for name in ("decoder_start_token_id", "forced_bos_token_id"):
            if generation.get(name) is not None:
                settings[name] = generation[name]
    return settings
