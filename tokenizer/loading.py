"""Tokenizer folders, which are written once and refused if a byte has changed.

A folder holds the canonical files and a descriptor, ``tokenizer.json``::

    {"bos_id": null, "eos_id": 1, "fingerprint": "218b…", "kind": "sentencepiece",
     "pad_id": 0, "unk_id": 2, "vocabulary_size": 8000}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.bpe_tokenizer import BytePairTokenizer
from tokenizer.bpe_vocabulary import MERGES_FILE, VOCABULARY_FILE
from tokenizer.fingerprint import fingerprint_of
from tokenizer.hugging_face_library import LIBRARY_FILE
from tokenizer.hugging_face_tokenizer import HuggingFaceTokenizer
from tokenizer.sentencepiece_tokenizer import MODEL_FILE, SentencePieceTokenizer

DESCRIPTOR_FILE: Final = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class TokenizerDescriptor:
    """The content of ``tokenizer.json``; every value follows from the canonical files."""

    kind: str
    vocabulary_size: int
    fingerprint: str
    pad_id: int
    eos_id: int
    unk_id: int | None
    bos_id: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self:
        return cls(**{field.name: getattr(tokenizer, field.name) for field in fields(cls)})

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read only a folder's descriptor, without checking the folder.

        Raises:
          TokenizerError: it is missing, or is not a descriptor.
        """
        path = Path(directory) / DESCRIPTOR_FILE
        try:
            values: Any = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise TokenizerError(
                f"{path} cannot be read: {error.strerror}. Expected: a folder written by "
                "TokenizerTrainer or `save_tokenizer`"
            ) from None
        except ValueError as error:
            raise TokenizerError(f"{path} is not JSON: {error}") from None
        names = [field.name for field in fields(cls)]
        if not isinstance(values, dict) or set(values) != set(names):
            raise TokenizerError(
                f"{path} is not a tokenizer's descriptor. Expected: an object with "
                f"{', '.join(names)}. Received: {_short(values)}"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind's canonical files, and how to make a tokenizer of them."""

    file_names: tuple[str, ...]
    make: Callable[[Mapping[str, bytes]], Tokenizer]


_KINDS: Final[Mapping[str, _Kind]] = {
    SentencePieceTokenizer.kind: _Kind(
        (MODEL_FILE,), lambda files: SentencePieceTokenizer(files[MODEL_FILE])
    ),
    BytePairTokenizer.kind: _Kind(
        (VOCABULARY_FILE, MERGES_FILE),
        lambda files: BytePairTokenizer(files[VOCABULARY_FILE], files[MERGES_FILE]),
    ),
    HuggingFaceTokenizer.kind: _Kind(
        (LIBRARY_FILE,), lambda files: HuggingFaceTokenizer(files[LIBRARY_FILE])
    ),
}


def save_tokenizer(tokenizer: Tokenizer, directory: str | Path) -> None:
    """Write a folder that `load_tokenizer` reads; it is created if missing."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in tokenizer.files().items():
        (target / name).write_bytes(content)
    descriptor = asdict(TokenizerDescriptor.of(tokenizer))
    # Last, so that a folder with a descriptor is a whole one.
    (target / DESCRIPTOR_FILE).write_text(
        json.dumps(descriptor, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """Load a tokenizer and check that it is the one that was saved.

    Raises:
      TokenizerError: a file is missing, the kind is unknown, or the files are not those
        of the descriptor's fingerprint.
    """
    source = Path(directory)
    descriptor = TokenizerDescriptor.load(source)
    kind = _KINDS.get(descriptor.kind)
    if kind is None:
        raise TokenizerError(
            f"{source} contains a tokenizer of an unknown kind. Expected: one of "
            f"{', '.join(_KINDS)}. Received: {_short(descriptor.kind)}"
        )
    files = {name: _read(source / name) for name in kind.file_names}
    fingerprint = fingerprint_of(files)
    if fingerprint != descriptor.fingerprint:
        raise TokenizerError(
            f"the files of {source} were changed after they were written, so counts would "
            "differ from those that were agreed on. Expected fingerprint: "
            f"{descriptor.fingerprint}. Received: {fingerprint}. Restore the folder, or "
            "train a new tokenizer"
        )
    tokenizer = kind.make(files)
    actual = TokenizerDescriptor.of(tokenizer)
    if actual != descriptor:
        raise TokenizerError(
            f"{source / DESCRIPTOR_FILE} does not describe the files beside it. Expected: "
            f"{asdict(actual)}. Received: {asdict(descriptor)}"
        )
    return tokenizer


def make_tokenizer(kind: str, files: Mapping[str, bytes]) -> Tokenizer:
    """Make a tokenizer of a kind from its canonical files, by name.

    Raises:
      TokenizerError: the kind is unknown, or the files are not of this kind.
    """
    if kind not in _KINDS:
        raise TokenizerError(
            f"this kind of tokenizer is unknown. Expected: one of {', '.join(_KINDS)}. "
            f"Received: {kind!r}"
        )
    return _KINDS[kind].make(files)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
