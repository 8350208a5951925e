"""What the tests hold the tokenizers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """A tokenizer's own library, with none of our code in between."""

    encode: Callable[[bytes], list[int]]
    decode: Callable[[list[int]], str]
