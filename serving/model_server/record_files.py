"""TFRecord files with a common name prefix; a new one is started when one is large enough."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path

import tensorflow as tf

# A record's length, its checksum, and its data's.
_FRAME_BYTES = 16
_numbers = count(1)


class RecordFiles:
    """Writes records to ``<prefix>-<UTC time>-<process>-<number>.tfrecord``. For use by one
    thread.

    A name is never used twice: not after a restart, nor by another server with the same prefix.
    A file exists from its first record on.
    """

    def __init__(self, prefix: str, max_bytes: int) -> None:
        """
        Args:
          prefix: a path and the beginning of a file's name.
          max_bytes: size at which a file is closed and the next one is started.
        """
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._writer: tf.io.TFRecordWriter | None = None
        self._size = 0

    def write(self, record: bytes) -> None:
        """Append a record; it is in the file after the next ``flush``.

        Raises:
          tf.errors.OpError: the file cannot be written. The next record starts another file.
        """
        try:
            if self._writer is None:
                self._writer = tf.io.TFRecordWriter(self._new_name())
                self._size = 0
            self._writer.write(record)
            self._size += len(record) + _FRAME_BYTES
        except tf.errors.OpError:
            self._forget()
            raise

    def flush(self) -> None:
        """Flush what has been written to the file.

        Raises:
          tf.errors.OpError: it cannot be written, and is lost.
        """
        if self._writer is None:
            return
        try:
            self._writer.flush()
        except tf.errors.OpError:
            self._forget()
            raise
        if self._size >= self._max_bytes:
            self.close()

    def close(self) -> None:
        """Close the file.

        Raises:
          tf.errors.OpError: what was not flushed cannot be written, and is lost.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @property
    def is_full(self) -> bool:
        return self._size >= self._max_bytes

    def _forget(self) -> None:
        self._writer = None

    def _new_name(self) -> str:
        while True:
            moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            name = f"{self._prefix}-{moment}-{os.getpid()}-{next(_numbers):05d}.tfrecord"
            if not Path(name).exists():
                return name
