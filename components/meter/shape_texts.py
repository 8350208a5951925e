"""Texts of chosen widths: what makes a server compile each shape before a version opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

CountIds = Callable[[str], int]


def texts_by_width(
    documents: Sequence[str], widths: Sequence[int], added: int, count: CountIds
) -> dict[int, str]:
    """For each width a text whose row of ids is padded to it.

    Args:
      documents: real texts, of whose characters these are made; at least one with ids.
      widths: ids that rows are padded to, rising; a row that is wider is cut to the last.
      added: ids of a row that are not the text's own: task prefix and EOS.
      count: ids of a text.

    Returns:
      Texts by width. A width that no text has (one below ``added``) is left out.
    """
    source = " ".join(documents)
    if not count(source):
        source = "a"
    # The last width is reached by any text that is longer.
    while count(source) + added <= widths[-1]:
        source += " " + source
    found, narrower = {}, 0
    for width in widths:
        text = _longest_within(source, width - added, count)
        if narrower < count(text) + added <= width:
            found[width] = text
        narrower = width
    return found


def _longest_within(source: str, most: int, count: CountIds) -> str:
    """The longest beginning of a text, nearly, that has at most so many ids."""
    fits, too_long = 0, len(source)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count(source[:middle]) <= most:
            fits = middle
        else:
            too_long = middle
    return source[:fits]
