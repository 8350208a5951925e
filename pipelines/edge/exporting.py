"""A pushed version becomes one LiteRT file: the model, behind it tokenizer and record."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from pipelines.checkpoints.checkpoint import Checkpoint
from pipelines.checkpoints.keras_preset import DECODING_FILE
from pipelines.checkpoints.opening import CHECKPOINT_DIR, SAVED_MODEL_FILE, open_checkpoint
from pipelines.edge.conversion import convert
from pipelines.edge.graph import EdgeDecoder
from pipelines.edge.record import FLOAT32, RECORD_FILE, TOKENIZER_FOLDER, EdgeRecord
from pipelines.models.architecture import Architecture
from pipelines.models.families import build_model
from tokenizer.contract import ContractError, MeteringRecord

_VARIABLES: Final = "variables/variables"
_A_VERSION: Final = (
    "the folder of a version that `tallygraph run` pushed, such as "
    "build/serving/summarizer/1764300000"
)
# Members of the archive carry no time of their own: the same version gives the same ones.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)


class EdgeError(ValueError):
    """The version cannot be exported, or not to this file. Never worth a retry."""


def export_litert(
    version: Path, output: Path, *, weights: str = FLOAT32, greedy: bool = False
) -> EdgeRecord:
    """Write a version as one LiteRT file.

    Args:
      version: its folder.
      output: the file, which must not exist yet, in a folder that does.
      weights: see `pipelines.edge.conversion.convert`.
      greedy: export a version whose own search has beams, with greedy search.

    Returns:
      The record that stands in the file.

    Raises:
      EdgeError: the version cannot be exported, or the file not written.
      CheckpointError: the version's weights cannot be read.
    """
    record = _metering_record(version)
    with _new_file(output) as partial:
        checkpoint, architecture = _opened(version, record, greedy)
        own = _record(version, record, weights, architecture)
        architecture = replace(architecture, num_beams=1)
        model = build_model(architecture)
        checkpoint.load_into(model)
        converted = convert(EdgeDecoder(model, architecture), weights)
        content = converted + _archive(own, checkpoint.tokenizer.files(), len(converted))
        _write(content, partial, output)
    return own


def version_settings(checkpoint: Checkpoint, record: MeteringRecord) -> Mapping[str, Any]:
    """Return the settings of ``[model]`` that a version's search was exported with."""
    return {
        **checkpoint.generation.settings,
        "max_input_tokens": record.max_input_tokens,
        "max_output_tokens": record.max_output_tokens,
        "task_prefix": record.task_prefix,
    }


def _metering_record(version: Path) -> MeteringRecord:
    if not (version / SAVED_MODEL_FILE).is_file():
        raise EdgeError(
            f"{version} is not a version: it has no {SAVED_MODEL_FILE}. Expected: {_A_VERSION}"
        )
    try:
        return MeteringRecord.load(version)
    except ContractError as error:
        raise EdgeError(
            f"{version} does not say what it counts with: {error} Expected: {_A_VERSION}"
        ) from None


def _opened(
    version: Path, record: MeteringRecord, greedy: bool
) -> tuple[Checkpoint, Architecture]:
    """The version's weights, and the architecture with its own search."""
    if not (version / CHECKPOINT_DIR / DECODING_FILE).is_file():
        raise EdgeError(
            f"{version} has no {CHECKPOINT_DIR}/{DECODING_FILE}, so it cannot be told how it "
            "decodes. Expected: a version that this release pushed. Run the pipeline again: "
            "only Exporter and what follows it have work to do"
        )
    dtypes = tf.train.load_checkpoint(str(version / _VARIABLES)).get_variable_to_dtype_map()
    if tf.int8 in dtypes.values():
        raise EdgeError(
            f"{version} is an int8 export, whose ids are not those of its weights in float32. "
            'Expected: a version with export.weights = "float32". Export that, and ask for '
            "--quantise dynamic-range here if the file must be small"
        )
    checkpoint = open_checkpoint(version)
    if checkpoint.tokenizer.fingerprint != record.tokenizer_fingerprint:
        raise EdgeError(
            f"the tokenizer in {version} is not the one of its record. Expected fingerprint: "
            f"{record.tokenizer_fingerprint}. Received: {checkpoint.tokenizer.fingerprint}. "
            "Restore the version, or push a new one"
        )
    architecture = checkpoint.description.architecture(
        version_settings(checkpoint, record), checkpoint.tokenizer
    )
    if architecture.num_beams > 1 and not greedy:
        raise EdgeError(
            f"{version} searches with {architecture.num_beams} beams, and a LiteRT file "
            "decodes greedily: summaries, and so output tokens, would not be those of the "
            "version. Expected: a version with model.num_beams = 1, or --greedy to export this "
            "one so"
        )
    return checkpoint, architecture


def _record(
    version: Path, record: MeteringRecord, weights: str, architecture: Architecture
) -> EdgeRecord:
    known = {field.name for field in fields(EdgeRecord)}
    kept = {name: value for name, value in asdict(record).items() if name in known}
    return EdgeRecord(
        **kept,
        version=version.resolve().name,
        weights=weights,
        num_beams_of_version=architecture.num_beams,
        pad_id=architecture.pad_id,
        eos_id=architecture.eos_id,
        tensorflow=tf.__version__,
    )


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file beside the one that will be, so that one that cannot be costs no work."""
    if path.exists():
        raise EdgeError(
            f"{path} exists, and nothing is overwritten. Expected: the name of a new file. "
            "Remove it, or choose another name"
        )
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from None
    os.close(number)
    partial = Path(name)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _write(content: bytes, partial: Path, path: Path) -> None:
    try:
        partial.write_bytes(content)
        partial.chmod(0o644)  # mkstemp lets nobody else read
        partial.rename(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> EdgeError:
    return EdgeError(
        f"{path} cannot be written: {error.strerror or error}. Expected: a file in a folder "
        "that exists and can be written to"
    )


def _archive(record: EdgeRecord, files: Mapping[str, bytes], offset: int) -> bytes:
    """What is stored behind a model of so many bytes, as LiteRT's associated files are."""
    members = {
        RECORD_FILE: record.to_json().encode("utf-8"),
        **{f"{TOKENIZER_FOLDER}{name}": content for name, content in files.items()},
    }
    stream = io.BytesIO(bytes(offset))  # positions in an archive are those in the whole file
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)
    return stream.getvalue()[offset:]
