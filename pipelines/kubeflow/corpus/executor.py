"""Finds corpus and spans, then reads as `components.corpus_example_gen` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.components.example_gen import driver, input_processor, utils
from tfx.proto import example_gen_pb2, range_config_pb2
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
from components.corpus_example_gen.custom_config import custom_config, options_in
from components.corpus_example_gen.options import CorpusInputError
from components.corpus_example_gen.spans import with_spans

CORPUS_KEY: Final = "corpus"
SPANS_KEY: Final = "spans"
EVAL_FRACTION_KEY: Final = "eval_fraction"
SPLIT_KEY: Final = "split"
# Custom property of the examples: all spans in them.
SPANS_PROPERTY: Final = "spans"
# What the executor of `components.corpus_example_gen` does not know.
RUN_TIME_KEYS: Final = (CORPUS_KEY, SPANS_KEY, EVAL_FRACTION_KEY, SPLIT_KEY)


class Executor(corpus_executor.Executor):
    """Does the work of TFX's driver and of the executor."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Find the corpus, determine the spans, and read them.

        Args:
          input_dict: empty.
          output_dict: `examples`.
          exec_properties: `corpus`, `spans`, `eval_fraction`, `custom_config`,
            `output_data_format`, `output_file_format`.

        Raises:
          CorpusInputError: the corpus or span does not exist, or has nothing usable.
        """
        properties = resolve(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[specs.EXAMPLES_KEY])
        driver.update_output_artifact(properties, examples.mlmd_artifact)
        if spans := exec_properties[SPANS_KEY]:
            examples.set_string_custom_property(SPANS_PROPERTY, spans)
        logging.info(
            "Corpus %s, spans %s, fingerprint %s",
            exec_properties[CORPUS_KEY],
            spans or properties[utils.SPAN_PROPERTY_NAME],
            properties[utils.FINGERPRINT_PROPERTY_NAME],
        )
        super().Do(input_dict, output_dict, properties)


def resolve(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties that FileBasedExampleGen's executor gets from its driver.

    Raises:
      CorpusInputError: the corpus or span does not exist.
    """
    path, options = exec_properties[CORPUS_KEY], options_in(exec_properties)
    corpus = resolve_corpus(path, options)
    split = exec_properties.get(SPLIT_KEY)
    if split:
        corpus = as_one_split(corpus, split)
    elif corpus.test:
        logging.warning(
            "The corpus's own test set, %s, is not read here: name it in corpus.test_path to "
            "have the model measured on it.",
            corpus.test,
        )
    numbers = _numbers(exec_properties[SPANS_KEY])
    settled = [_settle_span(path, corpus, span) for span in numbers or (None,)]
    newest = settled[-1]
    inputs = newest.patterns
    if len(settled) > 1:
        several, options = with_spans(corpus, options, [each.span for each in settled])
        inputs = several.config
    output = (
        example_gen_pb2.Output()
        if split
        else output_config(corpus, float(exec_properties[EVAL_FRACTION_KEY]))
    )
    others = {key: value for key, value in exec_properties.items() if key not in RUN_TIME_KEYS}
    return {
        **others,
        specs.CUSTOM_CONFIG_KEY: proto_utils.proto_to_json(custom_config(options)),
        specs.INPUT_BASE_KEY: corpus.base,
        specs.INPUT_CONFIG_KEY: proto_utils.proto_to_json(inputs),
        specs.OUTPUT_CONFIG_KEY: proto_utils.proto_to_json(output),
        utils.SPAN_PROPERTY_NAME: newest.span,
        utils.VERSION_PROPERTY_NAME: newest.version,
        utils.FINGERPRINT_PROPERTY_NAME: _joined(settled),
    }


@dataclass(frozen=True)
class _Settled:
    """A span, its version and fingerprint, and the patterns with both filled in."""

    span: int
    version: int | None
    fingerprint: str | None
    patterns: example_gen_pb2.Input


def _settle_span(path: str, corpus: CorpusInput, span: int | None) -> _Settled:
    splits = corpus.config.splits
    wanted = range_config_pb2.RangeConfig(
        static_range=range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
    )
    try:
        processor = input_processor.FileBasedInputProcessor(
            corpus.base, splits, None if span is None else wanted
        )
        found, version = processor.resolve_span_and_version()
        fingerprint = processor.get_input_fingerprint(found, version)
    except ValueError as error:
        raise CorpusInputError(
            f"The corpus {path} has no span {'(the newest)' if span is None else span}: "
            f"{error}. Expected: an existing span, and {{SPAN}} or {{YYYY}}, {{MM}} and "
            "{DD} in the corpus's path; no span for a corpus without them."
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
    return _Settled(found, version, fingerprint, patterns)


def _numbers(spans: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(int(span) for span in spans.split(",") if span))
    except ValueError:
        raise CorpusInputError(
            f"The spans cannot be read. Expected: numbers, such as 3,4. Received: {spans!r}"
        ) from None


def _joined(settled: list[_Settled]) -> str | None:
    """One span's fingerprint as TFX has it; of several, each after its number."""
    if len(settled) == 1:
        return settled[0].fingerprint
    return ";".join(f"span:{each.span},{each.fingerprint}" for each in settled)
