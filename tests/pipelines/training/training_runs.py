"""Small trainings for the tests: their arguments, and what they leave."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np

from components.exporter.executor import ExportArguments
from pipelines.config_sections import ExportConfig
from pipelines.exporting.run import export_fn
from pipelines.exporting.settings import export_part

MODEL: dict[str, object] = {
    "family": "t5",
    "d_model": 32,
    "num_layers": 1,
    "num_heads": 2,
    "d_ff": 64,
    "dropout": 0.0,
    "max_input_tokens": 40,
    "max_output_tokens": 24,
    "task_prefix": "Return ",
}
TRAINING: dict[str, object] = {
    "steps": 40,
    "batch_size": 8,
    "optimizer": "adafactor",
    "learning_rate": 0.02,
    "warmup_steps": 10,
    "eval_every_steps": 20,
}


@dataclass(frozen=True)
class TransformedCorpus:
    """What Transform and TokenizerTrainer leave for Trainer."""

    tokenizer_dir: Path
    transform_output: Path
    train_files: list[str]
    eval_files: list[str]


def arguments(
    corpus: TransformedCorpus,
    root: Path,
    run: str,
    model: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
) -> SimpleNamespace:
    """What TFX's Trainer gives to run_fn; another ``run`` is another attempt."""
    return SimpleNamespace(
        train_files=corpus.train_files,
        eval_files=corpus.eval_files,
        serving_model_dir=str(root / run / "Format-Serving"),
        model_run_dir=str(root / run / "model_run"),
        base_model=None,
        custom_config={
            "model": {**MODEL, **(model or {})},
            "training": {**TRAINING, **(training or {})},
            "tokenizer_dir": str(corpus.tokenizer_dir),
            "working_dir": str(root / "working"),
            "user_code_hash": "0",
        },
    )


def history(args: SimpleNamespace) -> list[dict[str, Any]]:
    text = (Path(args.model_run_dir) / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def weights(args: SimpleNamespace) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(f"{args.serving_model_dir}/model.weights.h5") as file:
        file.visititems(add)
    return found


def export(
    args: SimpleNamespace,
    corpus: TransformedCorpus,
    name: str = "base",
    *,
    settings: ExportConfig | None = None,
    held_out: Sequence[tuple[str, str]] = (),
    **decoding: Any,
) -> Path:
    """Export what a training left as Exporter does; the folder of the base SavedModel."""
    directory = Path(args.serving_model_dir).parent / name
    export_fn(
        ExportArguments(
            trained_model_dir=Path(args.serving_model_dir),
            transform_output=corpus.transform_output,
            base_model_dir=directory,
            custom_config={
                "model": export_part({**args.custom_config["model"], **decoding}),
                "export": asdict(settings or ExportConfig()),
                "rouge_words": "english",
            },
            held_out=lambda: iter(held_out),
        )
    )
    return directory


def run() -> None:
    """The program of a process that trains: its arguments are JSON."""
    from pipelines.training.run import run_fn

    run_fn(SimpleNamespace(**json.loads(sys.argv[1])))


RUN = """
import json, sys
from types import SimpleNamespace
from pipelines.training.run import run_fn
run_fn(SimpleNamespace(**json.loads(sys.argv[1])))
"""
