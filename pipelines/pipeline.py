"""The only definition of the pipeline: from a corpus to a metered, validated, pushed model."""

from __future__ import annotations

from tfx.components import Evaluator, ExampleValidator, SchemaGen, StatisticsGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs

from components.exporter.component import Exporter
from components.meter.component import Meter
from components.meter_validator.component import MeterValidator
from components.promoter.rules import MANUAL, Rules
from components.pusher.component import Pusher
from components.serving_validator.component import ServingValidator
from components.tokenizer_input import Trainer, Transform
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.config import PipelineConfig
from pipelines.config_sections import CHAMPION, RegistryConfig
from pipelines.evaluation.eval_config import EXTRACTORS_MODULE, eval_config
from pipelines.exporting.settings import export_part, training_part
from pipelines.layout import OutputLayout
from pipelines.local_parts import local_parts
from pipelines.node_code import model_code_version, node_code_version, put_code_into_cache_keys
from pipelines.node_ids import SPAN_EVALUATOR
from pipelines.runner_parts import RunnerParts


def create_pipeline(
    config: PipelineConfig,
    corpus: str,
    layout: OutputLayout,
    spans: tuple[int, ...] = (),
    parts: RunnerParts | None = None,
) -> Pipeline:
    """Build the pipeline for any runner.

    Args:
      config: all settings.
      corpus: file, folder or glob of the corpus.
      layout: where the run's results go.
      spans: spans of the corpus to read; empty if it has none, or for the newest.
      parts: what differs if the pipeline does not run on this machine; `corpus` is then not
          read.

    Returns:
      The pipeline. A node is cached as long as its inputs, its own part of the settings and its
      code stay the same.
    """
    parts = parts or local_parts(config, corpus, layout, spans)
    example_gen = parts.example_gen
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    schema_gen = SchemaGen(
        statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True
    )
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    tokenizer_trainer = parts.tokenizer_trainer(
        examples=examples,
        kind=config.tokenizer.kind,
        vocab_size=config.tokenizer.vocab_size,
        max_sentences=config.tokenizer.max_sentences,
        pinned=config.tokenizer.pinned or config.model.init_from,
    )
    tokenizer = tokenizer_trainer.outputs["tokenizer"]
    transform = Transform(
        tokenizer=tokenizer,
        examples=examples,
        schema=schema_gen.outputs["schema"],
        preprocessing_fn="pipelines.preprocessing.preprocessing_fn",
    )
    trainer = Trainer(
        tokenizer=tokenizer,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        base_model=parts.starting_point.outputs["model"] if parts.starting_point else None,
        run_fn="pipelines.training.run.run_fn",
        train_args=TrainArgs(splits=["train"], num_steps=config.training.steps),
        eval_args=EvalArgs(splits=["eval"]),
        custom_config={
            "model": training_part(config.as_dict()["model"]),
            "training": config.as_dict()["training"],
            "checkpoint_identity": _checkpoint_identity(config.model.init_from),
            "working_dir": str(layout.training_dir),
            "user_code_hash": (
                node_code_version("Trainer") if parts.code_in_cache_keys else ""
            ),
        },
    )
    quantised = config.export.quantised
    exporter = Exporter(
        model=trainer.outputs["model"],
        transform_graph=transform.outputs["transform_graph"],
        export_fn="pipelines.exporting.run.export_fn",
        custom_config={
            "model": export_part(config.as_dict()["model"]),
            "export": config.as_dict()["export"],
            # What it does not read is not in its cache key.
            **({"rouge_words": config.evaluation.rouge_words} if quantised else {}),
        },
        examples=examples if quantised else None,
    )
    meter = Meter(
        model=exporter.outputs["base_model"],
        examples=examples,
        model_name=config.serving.model_name,
        warmup_documents=config.meter.warmup_documents,
        warmup_ids=config.meter.warmup_ids,
        spans=spans,
        code_version=model_code_version() if parts.code_in_cache_keys else "",
    )
    model = meter.outputs["metered_model"]
    champion = parts.champion(model)
    test_gen = parts.test_example_gen
    test_examples = test_gen.outputs["examples"] if test_gen else examples
    evaluator = Evaluator(
        examples=test_examples,
        example_splits=["eval"],
        model=model,
        baseline_model=champion.outputs["model"],
        eval_config=eval_config(config.evaluation),
        module_path=EXTRACTORS_MODULE,
    )
    of_the_test_set: list[BaseNode] = []
    if test_gen:
        span_evaluator = Evaluator(
            examples=examples,
            example_splits=["eval"],
            model=model,
            baseline_model=champion.outputs["model"],
            eval_config=eval_config(config.evaluation, decides=False),
            module_path=EXTRACTORS_MODULE,
        ).with_id(SPAN_EVALUATOR)
        of_the_test_set = [test_gen, span_evaluator]
    meter_validator = MeterValidator(
        model=model,
        tokenizer=tokenizer,
        examples=examples,
        documents=config.meter.validate_documents,
        generated_strings=config.meter.validate_strings,
        decoded_ids=config.meter.validate_ids,
        xla=config.export.xla,
    )
    serving_validator = ServingValidator(
        model=model,
        model_name=config.serving.model_name,
        engine=config.serving.validate_engine,
        binary=config.serving.validate_binary,
        image=config.serving.validate_image,
        timeout_s=config.serving.validate_timeout_s,
        xla=config.export.xla,
    )
    promoter = parts.promoter(
        model=model,
        examples=test_examples,
        evaluation=evaluator.outputs["evaluation"],
        model_blessing=evaluator.outputs["blessing"],
        meter_blessing=meter_validator.outputs["blessing"],
        infra_blessing=serving_validator.outputs["blessing"],
        model_name=config.serving.model_name,
        rules=promotion_rules(config.registry),
        evaluator_module=EXTRACTORS_MODULE,
        baseline_model=champion.outputs["model"],
    )
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        meter_blessing=meter_validator.outputs["blessing"],
        infra_blessing=serving_validator.outputs["blessing"],
        promotion_blessing=promoter.outputs["blessing"],
        base_directory=str(layout.served_model_dir(config.serving.model_name)),
        keep_versions=config.serving.keep_versions,
    )
    nodes = [
        *([parts.gate] if parts.gate else []),
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        tokenizer_trainer,
        transform,
        *([parts.starting_point] if parts.starting_point else []),
        trainer,
        exporter,
        meter,
        champion,
        *of_the_test_set,
        evaluator,
        meter_validator,
        serving_validator,
        promoter,
        pusher,
    ]
    if parts.code_in_cache_keys:
        put_code_into_cache_keys(nodes)
    return Pipeline(
        pipeline_name=config.pipeline.name,
        pipeline_root=str(layout.pipeline_root),
        components=nodes,
        enable_cache=True,
        metadata_connection_config=(
            sqlite_metadata_connection_config(str(parts.metadata_file))
            if parts.metadata_file
            else None
        ),
        beam_pipeline_args=[*parts.beam_args, *config.pipeline.beam_args],
    )


def promotion_rules(config: RegistryConfig) -> Rules:
    """Return the rules of the settings for promotion to champion."""
    return Rules(
        metric=config.metric,
        min_gain=config.min_gain,
        manual=config.approval == MANUAL,
        allow_tokenizer=config.allow_tokenizer,
        allow_contract=config.allow_contract,
    )


def _checkpoint_identity(init_from: str) -> str:
    """Other weights in the same folder must train anew: part of Trainer's cache key."""
    return "" if init_from in ("", CHAMPION) else open_checkpoint(init_from).identity()
