"""The parts of the pipeline that are different on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tfx.dsl.components.base.base_node import BaseNode

from components.champion_lookup.component import ChampionLookup
from components.tokenizer_trainer.component import TokenizerTrainer
from pipelines.config import PipelineConfig, parse_config
from pipelines.config_sections import CHAMPION
from pipelines.kubeflow.corpus.component import CorpusExampleGen
from pipelines.kubeflow.parameters import (
    CORPUS,
    REGISTRY_URI,
    SPAN,
    SPANS,
    START_FROM,
    decided_by_the_gate,
    kubeflow_layout,
    run_parameters,
)
from pipelines.kubeflow.promoter.component import Promoter
from pipelines.kubeflow.span_gate.component import SpanGate
from pipelines.kubeflow.tokenizer_trainer.component import (
    TokenizerTrainer as ChampionsTokenizerTrainer,
)
from pipelines.node_ids import STARTING_POINT, TEST_EXAMPLE_GEN
from pipelines.runner_parts import RunnerParts, corpus_options

_BEAM_ARGS: Final = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_num_workers=1",
)


def kubeflow_parts(config: PipelineConfig) -> RunnerParts:
    """Return the parts of a pipeline that runs on Kubeflow.

    Raises:
      ConfigError: training with the settings is not possible while there is no champion.
    """
    parameters = run_parameters(config)
    registry_uri = parameters[REGISTRY_URI].as_runtime_parameter()
    corpus = parameters[CORPUS].as_runtime_parameter()
    options = corpus_options(config.corpus)
    champion = ChampionLookup(registry_uri, config.serving.model_name)
    tokenizer_trainer: Callable[..., BaseNode] = TokenizerTrainer
    if CHAMPION in (config.tokenizer.pinned, config.model.init_from):
        tokenizer_trainer = partial(
            ChampionsTokenizerTrainer, champion=champion.outputs["model"]
        )
    return RunnerParts(
        example_gen=CorpusExampleGen(
            corpus=corpus,
            spans=decided_by_the_gate(SPANS),
            options=options,
            eval_fraction=config.corpus.eval_fraction,
        ),
        tokenizer_trainer=tokenizer_trainer,
        champion=lambda candidate: champion,
        promoter=partial(
            Promoter,
            registry=registry_uri,
            notes={"pipeline": config.pipeline.name, "runner": "kubeflow"},
            models_dir=str(kubeflow_layout(config).output / "models"),
        ),
        metadata_file=None,
        test_example_gen=(
            CorpusExampleGen(
                corpus=config.corpus.test_path,
                spans="",
                options=options,
                eval_fraction=config.corpus.eval_fraction,
                split="eval",
            ).with_id(TEST_EXAMPLE_GEN)
            if config.corpus.test_path
            else None
        ),
        beam_args=_BEAM_ARGS,
        code_in_cache_keys=False,
        gate=SpanGate(
            corpus=corpus,
            span=parameters[SPAN].as_runtime_parameter(),
            registry_uri=registry_uri,
            model_name=config.serving.model_name,
            options=options,
            drift=config.drift,
            reports_dir=str(kubeflow_layout(config).gate_dir),
        ),
        starting_point=_starting_point(config),
    )


def _starting_point(config: PipelineConfig) -> BaseNode | None:
    """The champion, where training goes on from it and the gate does not say otherwise."""
    if config.model.init_from != CHAMPION:
        return None
    # The first run has none: its model is made of the settings.
    settings = config.as_dict()
    parse_config({**settings, "model": {**settings["model"], "init_from": ""}})
    return ChampionLookup(
        run_parameters(config)[REGISTRY_URI].as_runtime_parameter(),
        config.serving.model_name,
        alias=decided_by_the_gate(START_FROM),
    ).with_id(STARTING_POINT)
