"""Trainer's ``run_fn``: from transformed examples to trained weights.

``custom_config`` is a plain JSON-able dict:

- ``model``: of the config's section, what `pipelines.exporting.settings.training_part` returns:
  how the model is decoded is none of Trainer's business. If Trainer has a ``base_model``,
  training starts from it, whatever ``model.init_from`` says, and its sizes apply, not those of
  the section;
- ``training``: the config's section;
- ``tokenizer_dir``: folder of the Tokenizer artifact;
- ``checkpoint_identity``: of the checkpoint in ``model.init_from`` when the pipeline was
  defined; empty if there is none;
- ``working_dir``: where a training stores its checkpoints. It is kept between attempts, while
  TFX gives each attempt a new output folder;
- ``user_code_hash``: the version of this code, so that an edit makes Trainer run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.checkpoints.description import SIZES, CheckpointError
from pipelines.checkpoints.keras_preset import save_preset
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.config_sections import CHAMPION
from pipelines.models.architecture import Architecture
from pipelines.training.checkpoints import training_key
from pipelines.training.job import TrainingJob
from pipelines.training.loop import train
from pipelines.training.settings import TrainingSettings
from tokenizer.base import Tokenizer
from tokenizer.contract import TOKENIZER_DIR
from tokenizer.loading import load_tokenizer, save_tokenizer


class TrainerArguments(Protocol):
    """The fields of TFX's ``FnArgs`` that are used here."""

    train_files: Sequence[str]
    eval_files: Sequence[str]
    serving_model_dir: str
    model_run_dir: str
    base_model: str | None
    custom_config: dict[str, Any]


def run_fn(fn_args: TrainerArguments) -> None:
    """Train a summariser and save its weights; continues where a killed attempt stopped.

    The weights are a checkpoint that `open_checkpoint` reads, the tokenizer included. Exporter
    makes a SavedModel of it.

    Raises:
      ValueError: a setting cannot be used, or files are missing.
      CheckpointError: the checkpoint to start from cannot be used.
      TrainingDivergedError: the loss became infinite or NaN.
    """
    config = _from_base_model(fn_args.custom_config, fn_args.base_model)
    tokenizer = load_tokenizer(config["tokenizer_dir"])
    settings = TrainingSettings.from_config(config["training"])
    checkpoint = _checkpoint(config, tokenizer)
    architecture = _architecture(config["model"], tokenizer, checkpoint)
    train_files = _matching(fn_args.train_files, "train")
    eval_files = _matching(fn_args.eval_files, "eval")
    key = training_key(
        {
            # Where the checkpoint lies does not matter, and differs from pod to pod.
            "model": {**config["model"], "init_from": ""},
            "training": config["training"],
            "tokenizer": tokenizer.fingerprint,
            "checkpoint": checkpoint.identity() if checkpoint else "",
            "code": config["user_code_hash"],
        },
        [*train_files, *eval_files],
    )
    trained = train(
        TrainingJob(
            architecture,
            settings,
            tuple(train_files),
            tuple(eval_files),
            state_dir=Path(config["working_dir"]) / key,
            run_dir=Path(fn_args.model_run_dir),
        ),
        load_weights=checkpoint.load_into if checkpoint else None,
    )
    if trained is None:  # another process of the cluster saves the weights
        return
    model, checkpoints = trained
    model_dir = Path(fn_args.serving_model_dir)
    save_tokenizer(tokenizer, model_dir / TOKENIZER_DIR)
    task_prefix = tokenizer.encode(config["model"].get("task_prefix", ""))
    start = len(architecture.prefix_ids) - len(task_prefix)
    save_preset(model, architecture, architecture.prefix_ids[:start], model_dir)
    checkpoints.remove()


def _from_base_model(config: dict[str, Any], base_model: str | None) -> dict[str, Any]:
    """The settings of a training that starts from the model that Trainer was given.

    Without one, ``champion`` in ``init_from`` is the first of them, which is yet to come: all
    of its weights are trained, whatever ``lora_rank`` says. Where there is one, nothing is
    made to copy its input first: it has learnt that.
    """
    model = config["model"]
    if not base_model:
        if model.get("init_from") != CHAMPION:
            return config
        training = {**config["training"], "lora_rank": 0}
        return {**config, "model": {**model, "init_from": ""}, "training": training}
    limits = {name: value for name, value in model.items() if name not in SIZES}
    return {
        **config,
        "model": {**limits, "init_from": base_model},
        "training": {**config["training"], "start_copying": False},
    }


def _checkpoint(config: dict[str, Any], tokenizer: Tokenizer) -> Checkpoint | None:
    """The checkpoint to start from, if there is one, and it is the one that was meant."""
    directory = config["model"].get("init_from")
    if not directory:
        return None
    checkpoint = open_checkpoint(directory)
    if checkpoint.tokenizer.fingerprint != tokenizer.fingerprint:
        raise CheckpointError(
            f"{directory} was trained with another tokenizer. Expected: "
            f"{checkpoint.tokenizer.fingerprint}. Received: {tokenizer.fingerprint}"
        )
    expected = config.get("checkpoint_identity")
    if expected and checkpoint.identity() != expected:
        raise CheckpointError(
            f"{directory} has changed since the pipeline was defined. Expected: {expected}. "
            f"Received: {checkpoint.identity()}. Run again"
        )
    return checkpoint


def _architecture(
    model: dict[str, Any], tokenizer: Tokenizer, checkpoint: Checkpoint | None
) -> Architecture:
    if checkpoint:
        return checkpoint.description.architecture(model, tokenizer)
    return Architecture.from_config(
        model,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        prefix_ids=tuple(tokenizer.encode(model.get("task_prefix", ""))),
    )


def _matching(patterns: Sequence[str], split: str) -> list[str]:
    files = sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))
    if not files:
        raise ValueError(
            f"there are no transformed examples of the {split} split. Expected: files at "
            f"{', '.join(patterns)}"
        )
    return files
