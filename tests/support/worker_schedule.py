"""Which files one worker of pytest-xdist runs, because they share what takes long to make."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadFileScheduling

TOGETHER: Final = (
    # The process that TFX and MLflow are imported in (`warm_process`).
    (
        "tests/e2e/test_pipeline_run.py",
        "tests/components/test_mlflow_registry.py",
        "tests/pipelines/test_champion_from_registry.py",
        "tests/pipelines/cli/test_run_command.py",
    ),
    # The metered fixture model.
    (
        "tests/components/test_meter_validator.py",
        "tests/components/test_meter_validator_budget.py",
        "tests/components/test_meter_validator_parts.py",
        "tests/components/test_meter.py",
        "tests/components/test_meter_graph.py",
        "tests/components/test_meter_warmup.py",
        "tests/components/test_metering_pipeline.py",
    ),
    # Evaluations of the toy models.
    (
        "tests/pipelines/evaluation/test_promoter.py",
        "tests/pipelines/evaluation/test_evaluator_blessing.py",
    ),
    # Decoders of the random models.
    (
        "tests/pipelines/models/test_decoding.py",
        "tests/pipelines/models/test_decoding_in_batches.py",
    ),
)
_GROUP_OF: Final = {file: group[0] for group in TOGETHER for file in group}


class TogetherScheduling(LoadFileScheduling):
    """Whole files, as ``--dist loadfile`` has it; and those above as if they were one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _GROUP_OF.get(file, file)
