"""The tokenizer of a pretrained model, by the files that its folder has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.contract import TOKENIZER_DIR
from tokenizer.loading import load_tokenizer, make_tokenizer
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
        ``merges.txt``; or a keras-hub preset with its tokenizer's assets.

    Raises:
      TokenizerError: there is none, or it cannot be used.
    """
    source = Path(directory)
    if not source.is_dir():
        raise TokenizerError(f"{source} is no folder. Expected: a tokenizer's or a model's")
    if (source / TOKENIZER_DIR).is_dir():
        return load_tokenizer(source / TOKENIZER_DIR)
    # Hugging Face keeps another thing under our descriptor's name.
    if not (source / MODEL_CONFIG_FILE).is_file():
        return load_tokenizer(source)
    for layout in _LAYOUTS:
        if all((source / path).is_file() for path in layout.files.values()):
            files = {name: (source / path).read_bytes() for name, path in layout.files.items()}
            return make_tokenizer(layout.kind, files)
    expected = "; ".join(" and ".join(layout.files.values()) for layout in _LAYOUTS)
    raise TokenizerError(
        f"{source} holds a model without a tokenizer that can be read. Expected one of: "
        f"{expected}. A tokenizer.json of Hugging Face is not read: put the original files "
        "beside it"
    )
