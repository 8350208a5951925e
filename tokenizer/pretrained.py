"""Loads the tokenizer of a pretrained model from the files in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.bpe_json import bpe_files, check_bpe
from tokenizer.contract import TOKENIZER_DIR
from tokenizer.hugging_face_files import (
    TOKENIZER_JSON,
    HuggingFaceFiles,
    read_hugging_face_files,
)
from tokenizer.hugging_face_library import LIBRARY_FILE, canonical_library
from tokenizer.hugging_face_tokenizer import HuggingFaceTokenizer
from tokenizer.library_agreement import check_against_library
from tokenizer.loading import load_tokenizer, make_tokenizer
from tokenizer.pegasus_pieces import OFFSET, pegasus_model
from tokenizer.sentencepiece_tokenizer import MODEL_FILE, SentencePieceTokenizer

MODEL_CONFIG_FILE: Final = "config.json"


class _Layout(NamedTuple):
    """Where a kind of folder keeps a kind of tokenizer's canonical files."""

    kind: str
    files: Mapping[str, str]


_SENTENCEPIECE: Final = SentencePieceTokenizer.kind
_BPE: Final = "byte_level_bpe"
_LAYOUTS: Final = (
    # Hugging Face
    _Layout(_SENTENCEPIECE, MappingProxyType({MODEL_FILE: "spiece.model"})),
    _Layout(_BPE, MappingProxyType({"vocab.json": "vocab.json", "merges.txt": "merges.txt"})),
    # keras-hub
    _Layout(_SENTENCEPIECE, MappingProxyType({MODEL_FILE: "assets/tokenizer/vocabulary.spm"})),
    _Layout(
        _BPE,
        MappingProxyType(
            {
                "vocab.json": "assets/tokenizer/vocabulary.json",
                "merges.txt": "assets/tokenizer/merges.txt",
            }
        ),
    ),
)


def load_pretrained_tokenizer(directory: str | Path) -> Tokenizer:
    """Load a tokenizer from its own folder or from a model's.

    Args:
      directory: a folder that `tokenizer.loading.save_tokenizer` wrote; a version that this
        pipeline pushed; a Hugging Face folder with ``spiece.model``, or ``vocab.json`` and
        ``merges.txt``, or ``tokenizer.json``, which is used if the others are missing or it has
        added tokens that are content; or a keras-hub preset with its tokenizer's assets.

    Raises:
      TokenizerError: there is none, or it cannot be used.
    """
    source = Path(directory)
    if not source.is_dir():
        raise TokenizerError(
            f"{source} is not a folder. Expected: the folder of a tokenizer or a model"
        )
    if (source / TOKENIZER_DIR).is_dir():
        return load_tokenizer(source / TOKENIZER_DIR)
    # Hugging Face keeps another thing under our descriptor's name.
    if not (source / MODEL_CONFIG_FILE).is_file():
        return load_tokenizer(source)
    own = read_hugging_face_files(source)
    if own.library is not None and (own.content or not _has_original_files(source)):
        return _of_library(own)
    for layout in _LAYOUTS:
        if all((source / path).is_file() for path in layout.files.values()):
            files = {name: (source / path).read_bytes() for name, path in layout.files.items()}
            if layout.kind == _SENTENCEPIECE and own.model_type == "pegasus":
                files = {MODEL_FILE: pegasus_model(files[MODEL_FILE], own.offset or OFFSET)}
            return make_tokenizer(layout.kind, files)
    expected = "; ".join(" and ".join(layout.files.values()) for layout in _LAYOUTS)
    raise TokenizerError(
        f"{source} contains a model without a tokenizer that can be read. Expected: one of "
        f"{TOKENIZER_JSON}; {expected}"
    )


def _has_original_files(source: Path) -> bool:
    return any(
        all((source / path).is_file() for path in layout.files.values()) for layout in _LAYOUTS
    )


def _of_library(files: HuggingFaceFiles) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, held to the library with that very file.

    A byte-level BPE without added tokens is that of ``vocab.json`` and ``merges.txt``.
    """
    assert files.library is not None
    canonical = canonical_library(files)
    if files.library["model"].get("type") == "BPE" and not files.content:
        check_bpe(files.library)
        tokenizer = make_tokenizer(_BPE, bpe_files(files.library))
    else:
        tokenizer = make_tokenizer(HuggingFaceTokenizer.kind, {LIBRARY_FILE: canonical})
    check_against_library(tokenizer, files)
    return tokenizer
