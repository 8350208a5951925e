"""Paths of a run's files below its output folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OutputLayout:
    """Paths of one pipeline below `--output`.

    ::

        <output>/
          pipelines/<name>/metadata.sqlite   ML Metadata
          pipelines/<name>/root              artifacts; TensorBoard's events in
                                             Trainer/model_run, a folder for each run
          pipelines/<name>/training          checkpoints of training in progress
          pipelines/<name>/last-run.json     what the last run was started with
          logs/<name>.log                    output of TFX, Beam and TensorFlow
          reports/<name>.html                the report of the last run
          reports/<name>-drift.json          how much its spans differed from the champion's
          reports/<name>-gate/               on a cluster: what the last run did, and why
          serving/<model>/<version>/         pushed versions: a model server polls this folder
          registry.sqlite                    the model registry, of all pipelines
    """

    output: Path
    pipeline_name: str

    @property
    def pipeline_dir(self) -> Path:
        return self.output / "pipelines" / self.pipeline_name

    @property
    def pipeline_root(self) -> Path:
        return self.pipeline_dir / "root"

    @property
    def metadata_file(self) -> Path:
        return self.pipeline_dir / "metadata.sqlite"

    @property
    def training_logs(self) -> Path:
        return self.pipeline_root / "Trainer" / "model_run"

    @property
    def training_dir(self) -> Path:
        return self.pipeline_dir / "training"

    @property
    def last_run_file(self) -> Path:
        return self.pipeline_dir / "last-run.json"

    @property
    def empty_requirements_file(self) -> Path:
        return self.pipeline_dir / "no-requirements.txt"

    @property
    def lock_file(self) -> Path:
        return self.pipeline_dir / ".lock"

    @property
    def log_file(self) -> Path:
        return self.output / "logs" / f"{self.pipeline_name}.log"

    @property
    def report_file(self) -> Path:
        return self.output / "reports" / f"{self.pipeline_name}.html"

    @property
    def drift_file(self) -> Path:
        return self.output / "reports" / f"{self.pipeline_name}-drift.json"

    @property
    def gate_dir(self) -> Path:
        return self.output / "reports" / f"{self.pipeline_name}-gate"

    @property
    def registry_file(self) -> Path:
        return self.output / "registry.sqlite"

    @property
    def registry_uri(self) -> str:
        return f"sqlite:///{self.registry_file}"

    def served_model_dir(self, model_name: str) -> Path:
        return self.output / "serving" / model_name

    def create(self) -> None:
        """Create the folders that a run writes to."""
        self.pipeline_root.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.report_file.parent.mkdir(parents=True, exist_ok=True)
        self.empty_requirements_file.touch()
