"""Holds counts to the tokenizer's own library, for the commands that show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pipelines.cli.console import EXIT_BAD_INPUT, EXIT_FAILED, fail
from tokenizer.contract import TOKENIZER_DIR


class Counts(Protocol):
    """An answer that says how much of a text was read."""

    @property
    def input_tokens(self) -> int: ...

    @property
    def truncated_tokens(self) -> int: ...


class LibraryCounts(NamedTuple):
    """What a library that knows nothing of this project counts.

    Attributes:
      library: its name on PyPI.
      ids: of each text, in order.
    """

    library: str
    ids: list[int]


def checked_counts(
    version_dir: Path, texts: Sequence[str | bytes], answers: Sequence[Counts], option: str
) -> LibraryCounts:
    """Compare the answers' input counts with the library's; ends the command if they differ.

    Args:
      version_dir: a pushed version, with its tokenizer.
      option: by which the user named that folder, for the error.
    """
    from components.meter_validator.reference import (
        UnknownTokenizerError,
        library_name,
        reference_counts,
    )
    from tokenizer.base import TokenizerError, utf8_bytes
    from tokenizer.loading import TokenizerDescriptor

    directory = version_dir / TOKENIZER_DIR
    try:
        kind = TokenizerDescriptor.load(directory).kind
        library, count = library_name(kind), reference_counts(kind, directory)
    except (TokenizerError, UnknownTokenizerError) as error:
        fail(f"{error}. Expected with {option}: the folder of a pushed version", EXIT_BAD_INPUT)
    ids = count([utf8_bytes(text) for text in texts])
    for expected, answer in zip(ids, answers, strict=True):
        if expected != answer.input_tokens + answer.truncated_tokens:
            fail(
                f"the counts are wrong: the library {library} counts {expected} ids in the "
                f"text, but the response says {answer.input_tokens} input tokens and "
                f"{answer.truncated_tokens} truncated tokens.",
                EXIT_FAILED,
            )
    return LibraryCounts(library, ids)
