"""CorpusOptions as the ``custom_config`` of an ExampleGen, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, json_format, struct_pb2
from tfx.proto import example_gen_pb2
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from components.corpus_example_gen.options import CorpusOptions


def custom_config(options: CorpusOptions) -> example_gen_pb2.CustomConfig:
    """Return options in the form that an executor of a CorpusExampleGen takes."""
    values = struct_pb2.Struct()
    values.update(options.to_dict())
    packed = any_pb2.Any()
    packed.Pack(values)
    return example_gen_pb2.CustomConfig(custom_config=packed)


def options_in(exec_properties: Mapping[str, Any]) -> CorpusOptions:
    """Read the options from an executor's properties.

    Raises:
      CorpusInputError: they are not valid.
    """
    given = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], given
    )
    values = struct_pb2.Struct()
    given.custom_config.Unpack(values)
    return CorpusOptions.from_dict(json_format.MessageToDict(values))
