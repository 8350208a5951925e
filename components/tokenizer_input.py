"""Gives TFX's Transform and Trainer the tokenizer as an input.

Both read a `custom_config` for their user code and have no channel for a tokenizer. Here
each gets one, so that ML Metadata records which tokenizer made which ids, and a new
tokenizer makes both run again. User code finds the folder as `custom_config["tokenizer_dir"]`.
"""

from __future__ import annotations

import json
from typing import Any

from tfx import types
from tfx.components.trainer import component as tfx_trainer
from tfx.components.trainer import executor as tfx_trainer_executor
from tfx.components.transform import component as tfx_transform
from tfx.components.transform import executor as tfx_transform_executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.artifacts import Tokenizer

TOKENIZER_KEY = "tokenizer"
TOKENIZER_DIR_KEY = "tokenizer_dir"

_Artifacts = dict[str, list[types.Artifact]]


def _with_tokenizer_dir(
    input_dict: _Artifacts, exec_properties: dict[str, Any]
) -> tuple[_Artifacts, dict[str, Any]]:
    """Move the tokenizer from the inputs, which TFX's executors check, into custom_config."""
    others = {key: value for key, value in input_dict.items() if key != TOKENIZER_KEY}
    custom_config = json.loads(exec_properties.get(specs.CUSTOM_CONFIG_KEY) or "null") or {}
    custom_config[TOKENIZER_DIR_KEY] = artifact_utils.get_single_uri(input_dict[TOKENIZER_KEY])
    return others, {**exec_properties, specs.CUSTOM_CONFIG_KEY: json.dumps(custom_config)}


class TransformExecutor(tfx_transform_executor.Executor):
    """TFX's, with `tokenizer_dir` in custom_config."""

    def Do(
        self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        inputs, properties = _with_tokenizer_dir(input_dict, exec_properties)
        super().Do(inputs, output_dict, properties)


class TrainerExecutor(tfx_trainer_executor.GenericExecutor):
    """TFX's, with `tokenizer_dir` in custom_config."""

    def Do(
        self, input_dict: _Artifacts, output_dict: _Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        inputs, properties = _with_tokenizer_dir(input_dict, exec_properties)
        super().Do(inputs, output_dict, properties)


class TransformSpec(specs.TransformSpec):
    """TFX's TransformSpec with the tokenizer."""

    INPUTS = {  # noqa: RUF012  (TFX reads plain class attributes)
        **specs.TransformSpec.INPUTS,
        TOKENIZER_KEY: ChannelParameter(type=Tokenizer),
    }


class TrainerSpec(specs.TrainerSpec):
    """TFX's TrainerSpec with the tokenizer."""

    INPUTS = {  # noqa: RUF012
        **specs.TrainerSpec.INPUTS,
        TOKENIZER_KEY: ChannelParameter(type=Tokenizer),
    }


def _add_tokenizer(spec_class: type[ComponentSpec], built: Any, tokenizer: Any) -> Any:
    """The spec that TFX's constructor built, with one more input."""
    return spec_class(
        **built.inputs, **built.outputs, **built.exec_properties, tokenizer=tokenizer
    )


class Transform(tfx_transform.Transform):
    """TFX's Transform with the input `tokenizer`; everything else as in TFX."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)
    spec: Any  # set by TFX's constructor

    def __init__(self, tokenizer: types.BaseChannel, **transform_arguments: Any):
        super().__init__(**transform_arguments)
        self.spec = _add_tokenizer(TransformSpec, self.spec, tokenizer)


class Trainer(tfx_trainer.Trainer):
    """TFX's Trainer with the input `tokenizer`; everything else as in TFX."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TrainerExecutor)
    spec: Any  # set by TFX's constructor

    def __init__(self, tokenizer: types.BaseChannel, **trainer_arguments: Any):
        super().__init__(**trainer_arguments)
        self.spec = _add_tokenizer(TrainerSpec, self.spec, tokenizer)
