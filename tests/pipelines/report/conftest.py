"""A recorded run: a small TFX pipeline whose artifacts are those of the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.config import EvaluationConfig


@pytest.fixture(scope="session")
def recorded_run(
    tmp_path_factory: pytest.TempPathFactory,
    toy_model: Callable[[str], Path],
    toy_examples: Path,
) -> Callable[..., tuple[Path, str]]:
    """Runs the pipeline with a toy model and a margin to the champion, each once.

    Gives ML Metadata's file and the run's id.
    """
    done: dict[str, tuple[Path, str]] = {}

    def run(manner: str, min_gain: float = 0.1) -> tuple[Path, str]:
        key = f"{manner}-{min_gain}"
        if key not in done:
            root = tmp_path_factory.mktemp(f"recorded-{manner}")
            done[key] = _run(root, toy_examples, toy_model(manner), min_gain=min_gain)
        return done[key]

    return run


@pytest.fixture(scope="session")
def rerun(
    toy_model: Callable[[str], Path], toy_examples: Path
) -> Callable[[Path, str], tuple[Path, str]]:
    """Runs the pipeline once more in the folder of an earlier run."""

    def run(root: Path, manner: str) -> tuple[Path, str]:
        return _run(root, toy_examples, toy_model(manner))

    return run


@pytest.fixture(scope="session")
def interrupted_run(
    tmp_path_factory: pytest.TempPathFactory,
    toy_model: Callable[[str], Path],
    toy_examples: Path,
) -> tuple[Path, str]:
    """A run whose Trainer failed."""
    root = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(RuntimeError, match="the disk is full"):
        _run(root, toy_examples, toy_model("first_words"), training_error="the disk is full")
    return root / "metadata.sqlite", latest_run(root / "metadata.sqlite")


def latest_run(metadata_file: Path) -> str:
    import ml_metadata
    from tfx.orchestration import metadata

    connection = metadata.sqlite_metadata_connection_config(str(metadata_file))
    runs = ml_metadata.MetadataStore(connection).get_contexts_by_type("pipeline_run")
    return max(run.name for run in runs)


def _run(
    root: Path,
    corpus: Path,
    saved_model: Path,
    training_error: str = "",
    min_gain: float = 0.1,
) -> tuple[Path, str]:
    from tfx.components import Evaluator
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline

    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE, eval_config
    from tests.pipelines.report import report_nodes as nodes

    examples = nodes.read_corpus(input_base=str(corpus)).with_id("CorpusExampleGen")
    raw = examples.outputs["examples"]
    tokenizer = nodes.train_tokenizer(examples=raw).with_id("TokenizerTrainer")
    ids = nodes.transform(examples=raw, tokenizer=tokenizer.outputs["tokenizer"]).with_id(
        "Transform"
    )
    trainer = nodes.train(
        examples=ids.outputs["transformed_examples"],
        transform_graph=ids.outputs["transform_graph"],
        tokenizer=tokenizer.outputs["tokenizer"],
        error=training_error,
    ).with_id("Trainer")
    exporter = nodes.export(
        model=trainer.outputs["model"], transform_graph=ids.outputs["transform_graph"]
    ).with_id("Exporter")
    meter = nodes.add_meter(
        model=exporter.outputs["base_model"], examples=raw, saved_model=str(saved_model)
    ).with_id("Meter")
    model = meter.outputs["metered_model"]
    evaluator = Evaluator(
        examples=raw,
        model=model,
        example_splits=["eval"],
        eval_config=eval_config(
            EvaluationConfig(max_sources=2, min_examples_per_slice=10, batch_size=16)
        ),
        module_path=EXTRACTORS_MODULE,
    )
    meter_validator = nodes.validate_counts(model=model)
    meter_validator = meter_validator.with_id("MeterValidator")
    serving_validator = nodes.validate_serving(model=model)
    serving_validator = serving_validator.with_id("ServingValidator")
    promoter = nodes.promote(
        model=model, model_blessing=evaluator.outputs["blessing"], min_gain=min_gain
    ).with_id("Promoter")
    pusher = nodes.push(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        meter_blessing=meter_validator.outputs["blessing"],
        infra_blessing=serving_validator.outputs["blessing"],
        promotion_blessing=promoter.outputs["blessing"],
    ).with_id("Pusher")
    metadata_file = root / "metadata.sqlite"
    connection = metadata.sqlite_metadata_connection_config(str(metadata_file))
    (root / "requirements.txt").touch()
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="report-test",
            pipeline_root=str(root / "artifacts"),
            metadata_connection_config=connection,
            components=[
                examples,
                tokenizer,
                ids,
                trainer,
                exporter,
                meter,
                evaluator,
                meter_validator,
                serving_validator,
                promoter,
                pusher,
            ],
            beam_pipeline_args=[
                "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
                f"--requirements_file={root / 'requirements.txt'}",
            ],
            enable_cache=True,
        )
    )
    return metadata_file, latest_run(metadata_file)
