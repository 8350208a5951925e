"""Finds the champion's tokenizer, then does what TokenizerTrainer does."""

from __future__ import annotations

from typing import Any, Final

from tfx import types
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.tokenizer_trainer import executor as tokenizer_trainer

CHAMPION_KEY: Final = "champion"


class Executor(tokenizer_trainer.Executor):
    """TokenizerTrainer's executor, which takes the pinned folder from an input."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Take over the champion's tokenizer, or train one if there is no champion.

        Args:
          input_dict: `examples`; `champion`, a metered Model, left out if there is none.
          output_dict, exec_properties: as in the parent class.

        Raises:
          TokenizerError: as in the parent class.
        """
        others = {key: value for key, value in input_dict.items() if key != CHAMPION_KEY}
        pinned = ""
        if champion := input_dict.get(CHAMPION_KEY):
            pinned = path_utils.serving_model_path(
                artifact_utils.get_single_instance(champion).uri
            )
        properties = {**exec_properties, tokenizer_trainer.PINNED_KEY: pinned}
        super().Do(others, output_dict, properties)
