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
    """What a cluster's runner puts in the place of what only one machine can do.

    Attributes:
      example_gen: reads a corpus that is not at hand where the pipeline is defined.
      tokenizer_trainer: makes TokenizerTrainer of its arguments.
      champion: from the candidate's channel, the node whose output `model` is the champion.
      promoter: makes Promoter of its arguments, `registry` and `notes` apart.
      metadata_file: of ML Metadata, where the runner keeps a file of it; its folder is made.
      test_example_gen: reads the test set that stays as it is; None where the settings name
        none.
      beam_args: Beam's options, before those of the settings.
      code_in_cache_keys: whether an edit of the sources is to change a node's cache key. Not
        where the code comes in an image that is part of the key itself: what is compiled
        from the pipeline should then change with the pipeline only.
      gate: decides in the run whether there is anything to train; None where that is known
        before.
      starting_point: finds in the run the model that training starts from, its output `model`;
        None where the settings name its folder, or none.
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
    """What the settings say of the corpus, as its reader takes it."""
    return CorpusOptions(
        format=config.format,
        document_field=config.document_field,
        summary_field=config.summary_field,
        max_document_bytes=config.max_document_bytes,
        max_summary_bytes=config.max_summary_bytes,
    )
