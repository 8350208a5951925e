"""Added tokens that are content: how the `tokenizers` library finds them in a text.

It looks for all of them together, from left to right, the longest first, in two passes: first
in the unchanged text, then, for tokens with that flag, in the normalised rest. The text between
them is segmented independently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from tokenizer.base import TokenizerError
from tokenizer.hugging_face_files import AddedToken

WHITE_SPACE: Final = (
    *range(0x09, 0x0E),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)
"""Code points with the property White_Space, which the library treats as white space."""

SPACE_CLASS: Final = "[" + "".join(f"\\x{{{each:x}}}" for each in WHITE_SPACE) + "]"
"""The same as a character class of RE2, whose own class contains only ASCII."""


def check_added_tokens(tokens: Sequence[AddedToken], special: Collection[str]) -> None:
    """Refuse tokens that the graph cannot find in the same way as the library.

    Args:
      tokens: those that are content.
      special: names of special tokens, as the library has them. It skips one that it finds, and
        everything that begins in it.

    Raises:
      TokenizerError: lists their names.
    """
    words = [repr(token.content) for token in tokens if token.single_word]
    if words:
        raise TokenizerError(
            "added tokens that must be whole words are not supported. Expected: "
            f"single_word false. Received: {', '.join(words[:5])}"
        )
    hidden = [
        f"{token.content!r} in {name!r}"
        for token in tokens
        for name in special
        if token.content in name or _overlap(name, token.content)
    ]
    if hidden:
        raise TokenizerError(
            "added tokens that can begin inside a special token's name are not supported, "
            "because the library does not find them there. Received: "
            f"{', '.join(hidden[:5])}"
        )
    if not any(token.lstrip or token.rstrip for token in tokens):
        return
    edges = [
        repr(token.content)
        for token in tokens
        if {ord(token.content[0]), ord(token.content[-1])} & set(WHITE_SPACE)
    ]
    if edges:
        raise TokenizerError(
            "added tokens that begin or end with white space are not supported together "
            "with others that include the white space around them. Received: "
            f"{', '.join(edges[:5])}"
        )


def _overlap(first: str, second: str) -> bool:
    """Whether an end of one is a beginning of the other."""
    return any(first.endswith(second[:length]) for length in range(1, len(second)))


def pattern_of(tokens: Sequence[AddedToken], normalize: Callable[[str], str]) -> str:
    """Return an RE2 pattern for any of some tokens, including the white space that is part of
    them.

    Args:
      tokens: at least one.
      normalize: applied to their names before they are looked for.
    """
    alternatives = []
    for name, token in sorted(
        ((normalize(token.content), token) for token in tokens),
        key=lambda pair: -len(pair[0]),
    ):
        literal = "".join(f"\\x{{{ord(character):x}}}" for character in name)
        before = f"{SPACE_CLASS}*" if token.lstrip else ""
        after = f"{SPACE_CLASS}*" if token.rstrip else ""
        alternatives.append(f"{before}{literal}{after}")
    return "|".join(alternatives)
