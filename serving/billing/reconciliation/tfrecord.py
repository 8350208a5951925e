"""TFRecord files, record by record, also one that ends in the middle of a record.

A server that was killed leaves such a file. Beam's own reader gives all of it up, and does not
say which record of which file it was at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import google_crc32c

MAX_RECORD_BYTES: Final = 256 * 1024 * 1024
_LENGTH: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")


class DamagedFileError(ValueError):
    """From here on the file cannot be read; the message says why."""


def records(file: BinaryIO) -> Iterator[bytes]:
    """The records of a file, from where it stands.

    Raises:
      DamagedFileError: a checksum is wrong, or the file ends within a record; after all
        records before it.
    """
    while head := _read(file, _LENGTH.size):
        if len(head) < _LENGTH.size:
            raise DamagedFileError("ends within a record")
        length, checksum = _LENGTH.unpack(head)
        if _masked(head[:8]) != checksum:
            raise DamagedFileError("has a wrong checksum for a record's length")
        if length > MAX_RECORD_BYTES:
            raise DamagedFileError(f"has a record of more than {MAX_RECORD_BYTES} bytes")
        data, tail = _read(file, length), _read(file, _CRC.size)
        if len(data) < length or len(tail) < _CRC.size:
            raise DamagedFileError("ends within a record")
        if _masked(data) != _CRC.unpack(tail)[0]:
            raise DamagedFileError("has a wrong checksum for a record")
        yield data


def _read(file: BinaryIO, count: int) -> bytes:
    """As many bytes as there are, up to ``count``: a remote file gives them piece by piece."""
    pieces, missing = [], count
    while missing and (piece := file.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _masked(data: bytes) -> int:
    """CRC-32C, masked as the format has it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
