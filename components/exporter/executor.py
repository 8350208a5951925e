"""The work of Exporter: call the pipeline's function, and check that it exported something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.util import udf_utils
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.example_texts import example_texts
from tokenizer.contract import BaseModelSpec

MODEL_KEY: Final = "model"
TRANSFORM_GRAPH_KEY: Final = "transform_graph"
EXAMPLES_KEY: Final = "examples"
BASE_MODEL_KEY: Final = "base_model"
EXPORT_FN_KEY: Final = "export_fn"
CUSTOM_CONFIG_KEY: Final = "custom_config"

_HELD_OUT_SPLIT: Final = "eval"
_PAIR: Final = ("document", "summary")


def _no_pairs() -> Iterator[tuple[str, ...]]:
    return iter(())


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """What an `export_fn` is given.

    Attributes:
      trained_model_dir: what Trainer's `run_fn` wrote to its `serving_model_dir`.
      transform_output: folder of the TransformGraph.
      base_model_dir: where to write the SavedModel; does not exist yet.
      custom_config: settings of the component.
      held_out: reads documents of the eval split with their summaries, for an export that
        measures itself; there are none where the component was given no examples.
    """

    trained_model_dir: Path
    transform_output: Path
    base_model_dir: Path
    custom_config: Mapping[str, Any]
    held_out: Callable[[], Iterator[tuple[str, ...]]] = _no_pairs


class Executor(BaseExecutor):
    """Exports a base model by the pipeline's own function."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the base model.

        Args:
          input_dict: `model`: Trainer's Model; `transform_graph`: a TransformGraph;
            `examples`: Examples with documents and summaries, where they are wanted.
          output_dict: `base_model`: an empty Model.
          exec_properties: `export_fn`, an import path; `custom_config`, JSON.

        Raises:
          ContractError: the function left no description of a base model.
          Exception: whatever `export_fn` raises.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        trained = artifact_utils.get_single_uri(input_dict[MODEL_KEY])
        exported = artifact_utils.get_single_uri(output_dict[BASE_MODEL_KEY])
        export_fn = udf_utils.get_fn(exec_properties, EXPORT_FN_KEY)
        arguments = ExportArguments(
            trained_model_dir=Path(path_utils.serving_model_dir(trained)),
            transform_output=Path(
                artifact_utils.get_single_uri(input_dict[TRANSFORM_GRAPH_KEY])
            ),
            base_model_dir=Path(path_utils.serving_model_dir(exported)),
            custom_config=json.loads(exec_properties[CUSTOM_CONFIG_KEY]),
            held_out=_pairs_of(input_dict.get(EXAMPLES_KEY, [])),
        )
        export_fn(arguments)
        BaseModelSpec.load(arguments.base_model_dir)
        logging.info("Base model written to %s.", arguments.base_model_dir)


def _pairs_of(
    examples: Sequence[types.Artifact],
) -> Callable[[], Iterator[tuple[str, ...]]]:
    return partial(example_texts, examples, _HELD_OUT_SPLIT, _PAIR)
