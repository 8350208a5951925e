"""The parts of the pipeline for a run on one machine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tfx.dsl.components.base.base_node import BaseNode

from components.champion import champion_resolver
from components.corpus_example_gen.component import CorpusExampleGen
from components.corpus_example_gen.corpus_path import resolve_corpus
from components.corpus_example_gen.options import CorpusOptions
from components.promoter.component import Promoter
from components.tokenizer_trainer.component import TokenizerTrainer
from pipelines.champion import moved_by_hand
from pipelines.config import PipelineConfig
from pipelines.layout import OutputLayout
from pipelines.node_ids import TEST_EXAMPLE_GEN
from pipelines.runner_parts import RunnerParts, corpus_options


def local_parts(
    config: PipelineConfig, corpus: str, layout: OutputLayout, spans: tuple[int, ...]
) -> RunnerParts:
    """Return the parts of a pipeline that runs on this machine."""
    options = corpus_options(config.corpus)
    return RunnerParts(
        example_gen=CorpusExampleGen(
            corpus,
            options,
            eval_fraction=config.corpus.eval_fraction,
            spans=spans,
        ),
        tokenizer_trainer=TokenizerTrainer,
        champion=champion_resolver,
        promoter=partial(
            Promoter,
            registry=config.registry.uri or layout.registry_uri,
            notes={
                "pipeline": config.pipeline.name,
                "mlmd": str(layout.metadata_file),
                "report": str(layout.report_file),
            },
            moved_by_hand=moved_by_hand(config, layout),
        ),
        metadata_file=layout.metadata_file,
        test_example_gen=_test_example_gen(config.corpus.test_path, corpus, options, spans),
        beam_args=_beam_args(layout),
        code_in_cache_keys=True,
    )


def _test_example_gen(
    test_path: str, corpus: str, options: CorpusOptions, spans: tuple[int, ...]
) -> BaseNode | None:
    """Reads the test set that the settings name, or else the corpus's own, if it has one."""
    if test_path:
        test = CorpusExampleGen(test_path, options, split="eval")
    elif resolve_corpus(corpus, options).test:
        test = CorpusExampleGen(corpus, options, spans=spans, split="eval")
    else:
        return None
    test.with_id(TEST_EXAMPLE_GEN)
    return test


def _beam_args(layout: OutputLayout) -> list[str]:
    # Without a requirements file of the pipeline's own TFX packs itself again for every
    # node; without a named runner Beam tries to download one.
    requirements: Path = layout.empty_requirements_file
    return [
        "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        f"--requirements_file={requirements}",
        "--direct_num_workers=1",
    ]
