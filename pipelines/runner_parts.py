"""What differs between the machines that the pipeline runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import BaseChannel

from components.corpus_example_gen.options import CorpusOptions
from pipelines.config_sections import CorpusConfig


@dataclass(frozen=True)
class RunnerParts:
    """The parts of the pipeline that differ between one machine and a cluster.

    Attributes:
      example_gen: reads a corpus that is not available where the pipeline is defined.
      tokenizer_trainer: makes TokenizerTrainer from its arguments.
      champion: makes, from the candidate's channel, the node whose output `model` is the
          champion.
      promoter: makes Promoter from its arguments, except `registry` and `notes`.
      metadata_file: file of ML Metadata, if the runner has one; its folder is created.
      test_example_gen: reads the frozen test set; None if the settings name none.
      beam_args: Beam's options, before those of the settings.
      code_in_cache_keys: whether an edit of the sources changes a node's cache key. It does not
        if the code is in an image that is itself part of the key: the compiled pipeline should
        then change only with the pipeline.
      gate: decides during the run whether there is anything to train; None if that is known
        before.
      starting_point: finds during the run the model that training starts from, its output
        `model`; None if the settings name its folder, or no model.
    """

    example_gen: BaseNode
    tokenizer_trainer: Callable[..., BaseNode]
    champion: Callable[[BaseChannel], BaseNode]
    promoter: Callable[..., BaseNode]
    metadata_file: Path | None
    test_example_gen: BaseNode | None
    beam_args: Sequence[str]
    code_in_cache_keys: bool
    gate: BaseNode | None = None
    starting_point: BaseNode | None = None


def corpus_options(config: CorpusConfig) -> CorpusOptions:
    """Return the corpus settings in the form that its reader takes."""
    return CorpusOptions(
        format=config.format,
        document_field=config.document_field,
        summary_field=config.summary_field,
        max_document_bytes=config.max_document_bytes,
        max_summary_bytes=config.max_summary_bytes,
    )
