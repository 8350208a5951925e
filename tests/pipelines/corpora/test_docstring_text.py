"""Golden cases of what is summary, what is prose and what is cut off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.docstring_text import (
    UnusableDocstringError,
    plain_text,
    split_docstring,
)

SUMMARY = "Open a connection to the server."
PROSE = (
    "The connection is kept open until it is closed, and it may be shared by several "
    "threads at a time."
)
WRAPPED = (
    "The connection is kept open until it is closed, and it may be shared by\n"
    "    several threads at a time."
)


def docstring(below: str) -> str:
    return f"{SUMMARY}\n\n    {WRAPPED}\n{below}"


@pytest.mark.parametrize(
    "below",
    [
        "",
        "\n    Args:\n      host: where to connect to, which is a name or an address.\n",
        "\n    Args:\n\n      host: where to connect to.\n\n    More about the arguments.\n",
        "\n    Parameters\n    ----------\n    host : str\n        Where to connect to.\n",
        "\n    Returns\n    -------\n    Connection\n        The connection.\n",
        "\n    Returns: the connection, which is open when this returns.\n",
        "\n    :param host: where to connect to\n    :returns: the connection\n",
        "\n    @param host: where to connect to\n    @return: the connection\n",
        "\n    Raises:\n      OSError: nobody listens there.\n",
        "\n    Example::\n\n        connection = connect('localhost')\n",
        "\n    Examples\n    --------\n    >>> connect('localhost')\n    <Connection>\n",
        "\n    >>> connect('localhost')\n    <Connection>\n",
        "\n    ```python\n    connect('localhost')\n    ```\n",
        "\n    .. versionadded:: 1.2\n",
        "\n    .. note:: This is a note that a reader may want to know of.\n",
        "\n    Notes:\n      - a first note\n      - a second note\n",
        "\n    Note: this does not work on every system there is in the world.\n",
        "\n    See Also\n    --------\n    disconnect : The other way.\n",
        "\n    References:\n      [1] Somebody, Some paper, 1999.\n",
        "\n    ## Usage\n\n    Text about the usage that is no description.\n",
        "\n    === ====\n    one two\n    === ====\n",
        "\n    | one | two |\n    |-----|-----|\n",
        "\n    - a first item of a list that is not prose\n    - a second one\n",
        "\n        connection = connect('localhost')\n        connection.close()\n",
        "\n    Attributes:\n      host: where it is connected to.\n",
        "\n    Yields:\n      Messages.\n",
    ],
)
def test_only_the_prose_below_the_summary_is_the_document(below: str) -> None:
    pair = split_docstring(docstring(below))
    assert pair.summary == SUMMARY
    assert pair.document == PROSE


def test_prose_after_a_code_block_is_kept_and_what_announced_the_block_is_not() -> None:
    text = (
        f"{SUMMARY}\n\n{PROSE} It is used like this:\n\n    connect('localhost')\n\n"
        "Closing it twice does no harm.\n\nArgs:\n  host: a name.\n"
    )
    assert split_docstring(text).document == f"{PROSE} Closing it twice does no harm."


def test_a_section_that_follows_prose_without_an_empty_line_is_cut_off() -> None:
    text = f"{SUMMARY}\n\n{PROSE}\nArgs:\n  host: where to connect to.\n"
    assert split_docstring(text).document == PROSE


def test_a_summary_below_the_quotes_is_found() -> None:
    pair = split_docstring(f"\n    {SUMMARY}\n\n    {WRAPPED}\n    ")
    assert (pair.summary, pair.document) == (SUMMARY, PROSE)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("uses :class:`~pkg.Thing` and :func:`do <pkg.do>`", "uses Thing and do"),
        ("uses :py:class:`pkg.Thing`", "uses pkg.Thing"),
        ("uses ``code``, `names` and *emphasis*", "uses code, names and emphasis"),
        ("**Note** This is so", "Note This is so"),
        ("see [the guide](https://example.org/a_(b)) [1]_ now", "see the guide now"),
        ("a `link <https://example.org>`_ here", "a link here"),
        ("two  spaces,\ta tab\nand a line", "two spaces, a tab and a line"),
        ("a * b and **kwargs stay", "a * b and **kwargs stay"),
        ("values[index] stay", "values[index] stay"),
    ],
)
def test_inline_marks_are_removed(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Open a connection to the server.", "summary only"),
        (f"Open a connection\nto the server.\n\n{PROSE}", "summary longer than one line"),
        (f"Connect.\n\n{PROSE}", "summary too short"),
        (f"{'Open ' * 31}it.\n\n{PROSE}", "summary too long"),
        (f"Parameters of the server:\n\n{PROSE}", "summary is not a sentence"),
        (f">>> connect('to the server')\n\n{PROSE}", "summary is not a sentence"),
        (f"See base class for this.\n\n{PROSE}", "boilerplate summary"),
        (f"{SUMMARY}\n\nIt stays open.", "document too short"),
        (f"{SUMMARY}\n\nArgs:\n  host: {PROSE}", "no prose below the summary"),
        (f"{SUMMARY}\n\n{'word ' * 801}", "document too long"),
        (f"{SUMMARY}\n\nLicensed under the X licence. {PROSE}", "licence text"),
        (f"{SUMMARY}\n\n{'1234 5678 ' * 10} and so", "document is not prose"),
        (f"Open a connection to the\n\nserver. {PROSE}", "summary goes on below"),
    ],
)
def test_what_holds_no_pair_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(UnusableDocstringError) as refused:
        split_docstring(text)
    assert refused.value.reason == reason


@given(st.text(max_size=400) | st.text("ab \n\t:-=`*.>#|", max_size=400))
def test_any_text_gives_a_pair_on_single_lines_or_a_reason(text: str) -> None:
    try:
        pair = split_docstring(text)
    except UnusableDocstringError as refused:
        assert refused.reason
        return
    for value in (pair.document, pair.summary):
        assert value == " ".join(value.split())
        assert value
