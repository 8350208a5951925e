"""The parts of the pipeline that are other ones on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tfx.dsl.components.base.base_node import BaseNode

from components.champion_lookup.component import ChampionLookup
from components.tokenizer_trainer.component import TokenizerTrainer
from pipelines.config import ConfigError, PipelineConfig
from pipelines.config_sections import CHAMPION
from pipelines.kubeflow.corpus.component import CorpusExampleGen
from pipelines.kubeflow.parameters import (
    CORPUS,
    REGISTRY_URI,
    SPAN,
    kubeflow_layout,
    run_parameters,
)
from pipelines.kubeflow.promoter.component import Promoter
from pipelines.kubeflow.tokenizer_trainer.component import (
    TokenizerTrainer as ChampionsTokenizerTrainer,
)
from pipelines.node_ids import TEST_EXAMPLE_GEN
from pipelines.pipeline import RunnerParts, corpus_options

_BEAM_ARGS: Final = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_num_workers=1",
)


def kubeflow_parts(config: PipelineConfig) -> RunnerParts:
    """The parts of a pipeline that runs on Kubeflow.

    Raises:
      ConfigError: the settings ask for what only a local run can do.
    """
    if config.model.init_from == CHAMPION:
        raise ConfigError(
            "model.init_from = 'champion' cannot be compiled: which sizes that model has is "
            "not known until the run. Expected: a checkpoint's folder, or nothing. To keep the "
            "champion's tokenizer alone, set tokenizer.pinned = 'champion'."
        )
    parameters = run_parameters(config)
    champion = ChampionLookup(
        registry_uri=parameters[REGISTRY_URI].as_runtime_parameter(),
        model_name=config.serving.model_name,
    )
    tokenizer_trainer: Callable[..., BaseNode] = TokenizerTrainer
    if config.tokenizer.pinned == CHAMPION:
        tokenizer_trainer = partial(
            ChampionsTokenizerTrainer, champion=champion.outputs["model"]
        )
    return RunnerParts(
        example_gen=CorpusExampleGen(
            corpus=parameters[CORPUS].as_runtime_parameter(),
            span=parameters[SPAN].as_runtime_parameter(),
            options=corpus_options(config.corpus),
            eval_fraction=config.corpus.eval_fraction,
        ),
        tokenizer_trainer=tokenizer_trainer,
        champion=lambda candidate: champion,
        promoter=partial(
            Promoter,
            registry=parameters[REGISTRY_URI].as_runtime_parameter(),
            notes={"pipeline": config.pipeline.name, "runner": "kubeflow"},
            models_dir=str(kubeflow_layout(config).output / "models"),
        ),
        metadata_file=None,
        test_example_gen=(
            CorpusExampleGen(
                corpus=config.corpus.test_path,
                span="",
                options=corpus_options(config.corpus),
                eval_fraction=config.corpus.eval_fraction,
                split="eval",
            ).with_id(TEST_EXAMPLE_GEN)
            if config.corpus.test_path
            else None
        ),
        beam_args=_BEAM_ARGS,
        code_in_cache_keys=False,
    )
