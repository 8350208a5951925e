"""SentencePiece's tables of replaced characters, as the `tokenizers` library reads them.

The tables are a trie of UTF-8 strings (darts-clone's double array) and what each becomes. The
library asks it for each cluster of characters of at most five bytes, and takes the *shortest*
string of the trie that the cluster begins with, in place of the whole cluster; where there is
none, and for longer clusters, it asks for each character. SentencePiece itself takes the
longest string, wherever it stands: they differ for accents behind what is replaced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenizer.base import TokenizerError

MOST_BYTES: Final = 5  # of a cluster that is looked up as a whole
_BYTES: Final = np.arange(1, 256, dtype=np.uint32)
_MOST_KEYS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CharacterMap:
    """What is replaced by what.

    Attributes:
      strings: text by the text of at most `MOST_BYTES` bytes that it replaces; longer ones
        are never the shortest that a cluster begins with.
    """

    strings: dict[str, str]


def read_character_map(tables: bytes) -> CharacterMap:
    """Read the tables.

    Raises:
      TokenizerError: they are cut short, or not those of SentencePiece.
    """
    try:
        (size,) = struct.unpack_from("<I", tables)
        units = np.frombuffer(tables, "<u4", size // 4, 4).astype(np.uint32)
        texts = tables[4 + size :]
        strings = {
            key.decode("utf-8"): texts[at : texts.index(b"\0", at)].decode("utf-8")
            for key, at in _keys(units)
        }
    except (struct.error, ValueError, IndexError, RecursionError) as error:
        raise TokenizerError(
            f"the normalizer's precompiled_charsmap cannot be read: {error}"
        ) from None
    return CharacterMap(strings)


def _keys(units: npt.NDArray[np.uint32]) -> Iterator[tuple[bytes, int]]:
    """Each string of a double array of at most `MOST_BYTES`, and its value."""
    todo = [(b"", _offset(units[0]))]
    seen = 0
    while todo:
        prefix, base = todo.pop()
        places = np.uint32(base) ^ _BYTES
        inside = places < len(units)
        labels = units[np.where(inside, places, 0)] & np.uint32(0x800000FF)
        for byte in _BYTES[inside & (labels == _BYTES)].tolist():
            seen += 1
            if seen > _MOST_KEYS:
                raise ValueError("it has no end")
            unit = units[base ^ byte]
            key, below = prefix + bytes([byte]), (base ^ byte) ^ _offset(unit)
            if int(unit) >> 8 & 1:
                yield key, int(units[below]) & 0x7FFFFFFF
            if len(key) < MOST_BYTES:
                todo.append((key, below))


def _offset(unit: np.uint32) -> int:
    value = int(unit)
    return (value >> 10) << ((value & 0x200) >> 6)
