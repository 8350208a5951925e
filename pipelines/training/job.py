"""The description of a job for a training process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pipelines.models.architecture import Architecture
from pipelines.training.settings import TrainingSettings


@dataclass(frozen=True)
class TrainingJob:
    """Everything that a training process needs to know.

    Attributes:
      architecture: of the model to build.
      settings: how to train it.
      train_files, eval_files: GZIP TFRecords of transformed examples.
      state_dir: where this run stores its checkpoints; see ``training_key``.
      run_dir: where ``history.jsonl`` and TensorBoard events go.
      initial_weights: ``.npz`` with the model's weights in their order, to start from instead
        of random ones; empty for none. See ``train``.
    """

    architecture: Architecture
    settings: TrainingSettings
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]
    state_dir: Path
    run_dir: Path
    initial_weights: str = ""

    def to_json(self) -> dict[str, Any]:
        paths = {"state_dir": str(self.state_dir), "run_dir": str(self.run_dir)}
        return asdict(self) | paths

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The job that ``to_json`` described."""
        architecture = values["architecture"]
        return cls(
            Architecture(**architecture | {"prefix_ids": tuple(architecture["prefix_ids"])}),
            TrainingSettings.from_config(values["settings"]),
            tuple(values["train_files"]),
            tuple(values["eval_files"]),
            Path(values["state_dir"]),
            Path(values["run_dir"]),
            values["initial_weights"],
        )
