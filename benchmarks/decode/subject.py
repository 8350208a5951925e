"""The models that are measured, made once and kept under build/benchmarks/decode."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.decode.cases import LONGEST_INPUT, LONGEST_OUTPUT, Shape
from benchmarks.worker import ROOT

if TYPE_CHECKING:
    import keras

    from pipelines.checkpoints.checkpoint import Checkpoint
    from pipelines.models.architecture import Architecture

_TEXTS = ("The quick brown fox jumps over the lazy dog.", "Counts that can be billed.")
BUILD: Final = Path("build/benchmarks/decode")
VERSION = "version"  # in the folder of a trained model: a link to the version
_MADE_BY = ("cases.py", "weights.py", "conversion.py")


def make_subject(shape: Shape, peers: Path, directory: Path) -> Path:
    """Make a shape's Hugging Face folder and its CTranslate2 model, if they are not there.

    Args:
      shape: of the model.
      peers: Python of the peers' environment.
      directory: where the folders of all shapes are.

    Returns:
      The shape's own folder, with ``hugging_face`` and ``ctranslate2`` in it. Another
      release of what makes it has another folder.
    """
    sources = b"".join((Path(__file__).parent / name).read_bytes() for name in _MADE_BY)
    folder = directory / f"{shape.name}-{hashlib.sha256(sources).hexdigest()[:12]}"
    done = folder / "complete"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for step, target in (("weights", "hugging_face"), ("conversion", "ctranslate2")):
            module = f"benchmarks.decode.{step}"
            command = [str(peers), "-m", module, shape.name, str(folder.absolute() / target)]
            subprocess.run(command, check=True, cwd=ROOT)
        write_tokenizer(shape, folder / "hugging_face")
        done.touch()
    return folder


def write_tokenizer(shape: Shape, directory: Path) -> None:
    """Add a tokenizer to a checkpoint. Nothing here reads a text, so a small one will do."""
    from tokenizer.bpe_training import train_byte_level_bpe
    from tokenizer.training import train_sentencepiece

    if shape.family == "t5":
        files = train_sentencepiece(_TEXTS, 320).files()
        (directory / "spiece.model").write_bytes(files["tokenizer.model"])
        return
    for name, content in train_byte_level_bpe(_TEXTS, 320).files().items():
        (directory / name).write_bytes(content)


def open_subject(shape: Shape, directory: Path) -> tuple[Checkpoint, Architecture]:
    """A folder of `make_subject` as ``model.init_from`` opens it, with the points' limits; of a
    trained model the version itself, with its own limits."""
    from benchmarks.decode.pushed_version import open_pushed
    from pipelines.checkpoints.opening import open_checkpoint

    if (directory / VERSION).exists():
        return open_pushed(directory / VERSION)
    checkpoint = open_checkpoint(directory / "hugging_face")
    special = len(shape.start_ids) + 1
    limits = {
        "max_input_tokens": LONGEST_INPUT - special,
        "max_output_tokens": LONGEST_OUTPUT,
    }
    return checkpoint, checkpoint.description.architecture(limits, checkpoint.tokenizer)


def load_keras_model(checkpoint: Checkpoint, architecture: Architecture) -> keras.Model:
    """keras-hub's model with the checkpoint's weights."""
    from pipelines.models.families import build_model

    model = build_model(architecture)
    checkpoint.load_into(model)
    return model
