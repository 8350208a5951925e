"""A version that the pipeline pushed, as every engine reads it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.decode.cases import SHAPE_FILE, Shape
from benchmarks.decode.hugging_face_folder import t5_config, write_t5
from benchmarks.decode.pushed_version import NO_REPEAT, open_pushed
from benchmarks.decode.subject import VERSION, load_keras_model
from benchmarks.worker import ROOT


@dataclass(frozen=True)
class Trained:
    """A version's model.

    Attributes:
      shape: of it.
      weights: how many it has.
      decoding: settings of the version's own search, by name, that are not used here.
    """

    shape: Shape
    weights: int
    decoding: dict[str, Any]


def make_trained(version: Path, directory: Path, peers: Path | None) -> Trained:
    """Write a version's weights for every engine, in place of those of another one.

    Args:
      version: its folder.
      directory: gets ``version``, a link; ``shape.json``; ``hugging_face``; ``ctranslate2``.
      peers: Python of the peers' environment; None: leave ``ctranslate2`` out.

    Raises:
      SystemExit: the version's model is not a T5 as transformers knows it.
    """
    checkpoint, architecture = open_pushed(version)
    config = t5_config(architecture)
    shape = Shape(
        name=f"version {version.resolve().name}",
        family=architecture.family,
        config=config,
        pad_id=architecture.pad_id,
        eos_id=architecture.eos_id,
        start_ids=architecture.prefix_ids,
        no_repeat_ngram_size=architecture.no_repeat_ngram_size,
    )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / VERSION).symlink_to(version.resolve())
    shape.save(directory)
    model = load_keras_model(checkpoint, architecture)
    write_t5(model, architecture, directory / "hugging_face")
    if peers is not None:
        module = "benchmarks.decode.conversion"
        named, target = directory / SHAPE_FILE, directory / "ctranslate2"
        command = [peers, "-m", module, named.absolute(), target.absolute()]
        subprocess.run(list(map(str, command)), check=True, cwd=ROOT)
    own = {
        name: value
        for name, value in checkpoint.generation.settings.items()
        if name not in ("max_output_tokens", NO_REPEAT)
    }
    return Trained(shape, model.count_params(), own)
