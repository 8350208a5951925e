"""Finds corpus and span, then reads as `components.corpus_example_gen` does."""

from __future__ import annotations

from typing import Any, Final

from absl import logging
from google.protobuf import json_format, struct_pb2
from tfx import types
from tfx.components.example_gen import driver, input_processor, utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from components.corpus_example_gen import executor as corpus_executor
from components.corpus_example_gen.corpus_path import (
    CorpusInput,
    as_one_split,
    output_config,
    resolve_corpus,
)
from components.corpus_example_gen.options import CorpusInputError, CorpusOptions
from pipelines.kubeflow.corpus.span import span_range

CORPUS_KEY: Final = "corpus"
SPAN_KEY: Final = "span"
EVAL_FRACTION_KEY: Final = "eval_fraction"
SPLIT_KEY: Final = "split"
# What the executor of `components.corpus_example_gen` does not know.
RUN_TIME_KEYS: Final = (CORPUS_KEY, SPAN_KEY, EVAL_FRACTION_KEY, SPLIT_KEY)


class Executor(corpus_executor.Executor):
    """What TFX's driver and the executor do, in one."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Find the corpus, settle the span, read.

        Args:
          input_dict: empty.
          output_dict: `examples`.
          exec_properties: `corpus`, `span`, `eval_fraction`, `custom_config`,
            `output_data_format`, `output_file_format`.

        Raises:
          CorpusInputError: there is no such corpus or span, or nothing usable in it.
        """
        properties = resolve(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[specs.EXAMPLES_KEY])
        driver.update_output_artifact(properties, examples.mlmd_artifact)
        logging.info(
            "Corpus %s, span %s, fingerprint %s",
            exec_properties[CORPUS_KEY],
            properties[utils.SPAN_PROPERTY_NAME],
            properties[utils.FINGERPRINT_PROPERTY_NAME],
        )
        super().Do(input_dict, output_dict, properties)


def resolve(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """The properties that FileBasedExampleGen's executor has after its driver.

    Raises:
      CorpusInputError: there is no such corpus or span.
    """
    path = exec_properties[CORPUS_KEY]
    corpus = resolve_corpus(path, _options(exec_properties))
    split = exec_properties.get(SPLIT_KEY)
    if split:
        corpus = as_one_split(corpus, split)
    span, version, fingerprint, patterns = _settle_span(path, corpus, exec_properties[SPAN_KEY])
    output = (
        example_gen_pb2.Output()
        if split
        else output_config(corpus, float(exec_properties[EVAL_FRACTION_KEY]))
    )
    others = {key: value for key, value in exec_properties.items() if key not in RUN_TIME_KEYS}
    return {
        **others,
        specs.INPUT_BASE_KEY: corpus.base,
        specs.INPUT_CONFIG_KEY: proto_utils.proto_to_json(patterns),
        specs.OUTPUT_CONFIG_KEY: proto_utils.proto_to_json(output),
        utils.SPAN_PROPERTY_NAME: span,
        utils.VERSION_PROPERTY_NAME: version,
        utils.FINGERPRINT_PROPERTY_NAME: fingerprint,
    }


def _settle_span(
    path: str, corpus: CorpusInput, span: str
) -> tuple[int, int | None, str | None, example_gen_pb2.Input]:
    """Span, version, fingerprint, and the patterns with both filled in."""
    splits = corpus.config.splits
    wanted = span_range(span)
    try:
        processor = input_processor.FileBasedInputProcessor(corpus.base, splits, wanted)
        found, version = processor.resolve_span_and_version()
        fingerprint = processor.get_input_fingerprint(found, version)
    except ValueError as error:
        raise CorpusInputError(
            f"The corpus {path} has no span {span or '(the newest)'}: {error}. Expected: a "
            "span that is there, and {SPAN} or {YYYY}, {MM} and {DD} in the corpus's path; no "
            "span for a corpus without them."
        ) from None
    patterns = example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(
                name=split.name,
                pattern=processor.get_pattern_for_span_version(split.pattern, found, version),
            )
            for split in splits
        ]
    )
    return found, version, fingerprint, patterns


def _options(exec_properties: dict[str, Any]) -> CorpusOptions:
    custom_config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[specs.CUSTOM_CONFIG_KEY], custom_config)
    values = struct_pb2.Struct()
    custom_config.custom_config.Unpack(values)
    return CorpusOptions.from_dict(json_format.MessageToDict(values))
