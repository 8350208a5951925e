"""TFX runs that evaluate the toy summarisers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.config import EvaluationConfig


@pytest.fixture(scope="session")
def evaluate(
    tmp_path_factory: pytest.TempPathFactory,
    toy_model: Callable[[str], Path],
    toy_examples: Path,
) -> Callable[..., tuple[Path, Path]]:
    """Runs TFX's Evaluator on toy models, one after the other; gives the last one's outputs.

    Each is compared with the latest that was blessed before it. A run is done once only.
    """
    done: dict[tuple[str, ...], tuple[Path, Path]] = {}

    def run(*manners: str) -> tuple[Path, Path]:
        if manners not in done:
            root = tmp_path_factory.mktemp("-".join(manners))
            for manner in manners:
                done[manners] = run_evaluator(
                    root,
                    EvaluationConfig(max_sources=2, min_examples_per_slice=10, batch_size=16),
                    toy_examples,
                    toy_model(manner),
                )
        return done[manners]

    return run


def run_evaluator(
    root: Path, config: EvaluationConfig, examples: Path, model: Path
) -> tuple[Path, Path]:
    from tfx.components import Evaluator
    from tfx.dsl.components.common.importer import Importer
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
        LatestBlessedModelStrategy,
    )
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline
    from tfx.types import standard_artifacts as artifacts
    from tfx.types.channel import Channel

    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE, eval_config

    imported_examples = Importer(
        source_uri=str(examples),
        artifact_type=artifacts.Examples,
        properties={"split_names": '["eval"]'},
    ).with_id("Examples")
    imported_model = Importer(source_uri=str(model), artifact_type=artifacts.Model).with_id(
        "Model"
    )
    champion = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=artifacts.Model),
        model_blessing=Channel(type=artifacts.ModelBlessing),
    ).with_id("Champion")
    evaluator = Evaluator(
        examples=imported_examples.outputs["result"],
        model=imported_model.outputs["result"],
        baseline_model=champion.outputs["model"],
        example_splits=["eval"],
        eval_config=eval_config(config),
        module_path=EXTRACTORS_MODULE,
    )
    requirements = root / "requirements.txt"
    requirements.write_text("")
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="evaluation-test",
            pipeline_root=str(root / "artifacts"),
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(root / "metadata.sqlite")
            ),
            components=[imported_examples, imported_model, champion, evaluator],
            beam_pipeline_args=[
                "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
                f"--requirements_file={requirements}",
            ],
            enable_cache=False,
        )
    )
    outputs = root / "artifacts" / "Evaluator"
    evaluation, blessing = (
        max((outputs / key).iterdir(), key=lambda path: int(path.name))
        for key in ("evaluation", "blessing")
    )
    return evaluation, blessing
