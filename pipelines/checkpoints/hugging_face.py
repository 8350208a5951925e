"""A local Hugging Face folder of one of the supported families."""

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
from pipelines.checkpoints.generation import Generation, read_generation
from pipelines.checkpoints.hugging_face_tensors import NamedTensors
from pipelines.checkpoints.weights_folder import WeightsFolder
from pipelines.checkpoints.weights_opening import open_weights
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
        [Mapping[str, Any], WeightsFolder], tuple[ModelDescription, NamedTensors]
    ]
    load: Callable[[keras.Model, ModelDescription, NamedTensors], None]


_FAMILIES: Final[Mapping[str, _Family]] = {
    "t5": _Family(hugging_face_t5.describe, hugging_face_t5.load),
    "mt5": _Family(hugging_face_t5.describe, hugging_face_t5.load),
    "umt5": _Family(hugging_face_t5.describe, hugging_face_t5.load),
    "bart": _Family(hugging_face_bart.describe, hugging_face_bart.load),
    "pegasus": _Family(hugging_face_bart.describe_pegasus, hugging_face_bart.load),
}
# What their model types stand for, for people.
SUPPORTED: Final = (
    "T5, T5 v1.1 and FLAN-T5 (t5), mT5 (mt5), UMT5 (umt5), BART and DistilBART (bart), "
    "Pegasus (pegasus)"
)


class HuggingFaceCheckpoint(Checkpoint):
    """``config.json``, weights and tokenizer in one folder, as transformers saves them."""

    def __init__(self, directory: Path, tokenizer: Tokenizer) -> None:
        """Read the settings and check names and shapes of the tensors against them.

        Raises:
          CheckpointError: a setting is not supported, or the tensors do not match the settings.
        """
        self.directory = directory
        self.tokenizer = tokenizer
        settings = read_settings(directory)
        refuse_unsupported(directory, settings)
        self._family = _FAMILIES[settings["model_type"]]
        self._folder = open_weights(directory)
        try:
            self.description, self._tensors = self._family.describe(settings, self._folder)
        except KeyError as error:
            raise CheckpointError(
                f"{directory / CONFIG_FILE} lacks the setting {error}"
            ) from None
        self.generation = self._read_generation(settings)

    def _read_generation(self, settings: Mapping[str, Any]) -> Generation:
        path = self.directory / GENERATION_FILE
        try:
            return read_generation(
                settings,
                read_json(path) if path.exists() else None,
                eos_id=self.description.eos_id,
                forced_bos=self.description.forced_bos_id is not None,
            )
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.directory} has decoding settings that cannot be read: {error}"
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


def refuse_unsupported(directory: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a model that is not of one of the supported families, naming its type.

    Args:
      directory: of the model.
      settings: what its ``config.json`` says.

    Raises:
      CheckpointError: the model is of another family, or counts in bytes.
    """
    model_type = settings.get("model_type")
    name = f"model_type {model_type!r}"
    if model_type in _FAMILIES:
        tokenizer_file = directory / "tokenizer_config.json"
        own = read_json(tokenizer_file) if tokenizer_file.is_file() else {}
        kind = own.get("tokenizer_class") or settings.get("tokenizer_class")
        if kind != "ByT5Tokenizer":
            return
        name += ", which is a ByT5 because it has a ByT5Tokenizer"
    raise CheckpointError(
        f"{directory} contains a model that is not supported. Expected: one of {SUPPORTED}. "
        f"Received: {name}"
    )


def read_settings(directory: Path) -> dict[str, Any]:
    """Read ``config.json``, and the decoder's start from ``generation_config.json``, if any.

    Older versions of transformers store the decoder's start in the first, newer ones in the
    second, which takes precedence there, too.
    """
    settings = read_json(directory / CONFIG_FILE)
    if (directory / GENERATION_FILE).exists():
        generation = read_json(directory / GENERATION_FILE)
        for name in ("decoder_start_token_id", "forced_bos_token_id"):
            if generation.get(name) is not None:
                settings[name] = generation[name]
    return settings
