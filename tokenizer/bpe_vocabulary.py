"""A byte-level BPE's vocabulary and merges: read from its files, and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from tokenizer.base import TokenizerError

VOCABULARY_FILE: Final = "vocab.json"
MERGES_FILE: Final = "merges.txt"

BOS, PAD, EOS, UNK, MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
SPECIAL_PIECES: Final = (BOS, PAD, EOS, UNK, MASK)


@dataclass(frozen=True)
class Bpe:
    """A byte-level BPE, read and checked.

    Attributes:
      ids: id by piece. A piece writes each byte as one printable character, by GPT-2's
        table (`byte_characters`).
      merges: pairs of pieces that are joined, the most urgent first.
    """

    ids: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that no text has and that have no text."""
        return frozenset(self.ids[piece] for piece in SPECIAL_PIECES if piece in self.ids)

    @cached_property
    def piece_bytes(self) -> tuple[bytes, ...]:
        """The bytes of each piece by id; none for special ids."""
        pieces = [b""] * len(self.ids)
        for piece, value in self.ids.items():
            if value not in self.special_ids:
                pieces[value] = bytes_of_piece(piece)
        return tuple(pieces)


def byte_characters() -> list[str]:
    """The character that stands for each byte, by byte.

    Printable ones stand for themselves, the rest for U+0100 onward in order: GPT-2's
    ``bytes_to_unicode``.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


_BYTE_OF: Final = {character: bytes([byte]) for byte, character in enumerate(byte_characters())}


def bytes_of_piece(piece: str) -> bytes:
    """The bytes that a piece writes; one that is not of bytes, but added, stands for itself."""
    try:
        return b"".join(_BYTE_OF[character] for character in piece)
    except KeyError:
        return piece.encode()


def read_bpe(vocabulary: bytes, merges: bytes) -> Bpe:
    """Read and check both files.

    Args:
      vocabulary: content of `vocab.json`, an object of id by piece.
      merges: content of `merges.txt`: two pieces a line, the most urgent pair first;
        a first line may name a version.

    Raises:
      TokenizerError: the files are not those of a byte-level BPE with ``<pad>`` and
        ``</s>``, or not of one another.
    """
    ids = _ids(vocabulary)
    pairs = _pairs(merges)
    _check_pieces(ids)
    _check_merges(ids, pairs)
    return Bpe(MappingProxyType(ids), tuple(pairs))


def _ids(vocabulary: bytes) -> dict[str, int]:
    try:
        ids: Any = json.loads(vocabulary)
    except ValueError as error:
        raise TokenizerError(f"{VOCABULARY_FILE} is not JSON: {error}") from None
    if not isinstance(ids, dict) or not all(type(value) is int for value in ids.values()):
        raise TokenizerError(
            f"{VOCABULARY_FILE} is not a vocabulary. Expected: an object that maps pieces "
            f"to ids. Received: {type(ids).__name__} {str(ids)[:80]!r}"
        )
    if sorted(ids.values()) != list(range(len(ids))):
        raise TokenizerError(
            f"the ids of {VOCABULARY_FILE} have gaps or repeats. Expected: each of 0 to "
            f"{len(ids) - 1} once. Received: {len(set(ids.values()))} different ids from "
            f"{min(ids.values())} to {max(ids.values())}"
        )
    for piece in ids:
        if piece.encode("utf-8", "replace").decode() != piece:
            raise TokenizerError(f"{VOCABULARY_FILE} has a piece that is not text: {piece!r}")
    return ids


def _pairs(merges: bytes) -> list[tuple[str, str]]:
    try:
        lines = merges.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{MERGES_FILE} is not UTF-8: {error}") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, space, right = line.partition(" ")
        if not (left and space and right) or " " in right:
            raise TokenizerError(
                f"{MERGES_FILE}, line {number}, is not a merge. Expected: two pieces "
                f"separated by one space. Received: {line[:80]!r}"
            )
        pairs.append((left, right))
    if len(set(pairs)) != len(pairs):
        raise TokenizerError(f"{MERGES_FILE} has a pair of pieces twice")
    return pairs


def _check_pieces(ids: Mapping[str, int]) -> None:
    missing = [f"0x{byte:02x}" for byte, c in enumerate(byte_characters()) if c not in ids]
    if missing:
        raise TokenizerError(
            f"{VOCABULARY_FILE} lacks pieces for {len(missing)} of the 256 bytes, so some "
            "texts could not be encoded. Expected: a byte-level BPE. Missing: "
            f"{', '.join(missing[:8])}"
        )
    for piece, use in ((PAD, "padding"), (EOS, "the end of a text")):
        if piece not in ids:
            raise TokenizerError(f"{VOCABULARY_FILE} has no {piece!r}, the piece for {use}")


def _check_merges(ids: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> None:
    for left, right in pairs:
        for piece in (left, right, left + right):
            if piece not in ids:
                raise TokenizerError(
                    f"{MERGES_FILE} does not belong to this {VOCABULARY_FILE}: the merge "
                    f"{left!r} {right!r} needs the piece {piece!r}, which the vocabulary "
                    "lacks"
                )
            if piece in SPECIAL_PIECES:
                raise TokenizerError(
                    f"{MERGES_FILE} has a merge with the special piece {piece!r}, so a "
                    "caller could write this piece as text. Train the vocabulary without it"
                )
