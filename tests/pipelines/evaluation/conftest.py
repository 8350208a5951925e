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
    import tfx.v1 as tfx
    from tfx.orchestration import metadata

    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE, eval_config

    artifacts = tfx.types.standard_artifacts
    imported_examples = tfx.dsl.Importer(
        source_uri=str(examples),
        artifact_type=artifacts.Examples,
        properties={"split_names": '["eval"]'},
    ).with_id("Examples")
    imported_model = tfx.dsl.Importer(
        source_uri=str(model), artifact_type=artifacts.Model
    ).with_id("Model")
    champion = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=artifacts.ModelBlessing),
    ).with_id("Champion")
    evaluator = tfx.components.Evaluator(
        examples=imported_examples.outputs["result"],
        model=imported_model.outputs["result"],
        baseline_model=champion.outputs["model"],
        example_splits=["eval"],
        eval_config=eval_config(config),
        module_path=EXTRACTORS_MODULE,
    )
    requirements = root / "requirements.txt"
    requirements.write_text("")
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
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
