"""What a page says that its commands print is really held to what they print."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import Page, missing_line

PAGE = """\
```toml title="a.toml"
x = 1
```

```bash
echo one
```

```text
one
```

<!-- not run: it needs the network -->
```bash
curl example.org
```

```text
not printed by anything
```

```bash
echo two
```
"""


def test_a_page_is_read_as_a_reader_does(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    page = Page.read(tmp_path / "page.md")
    assert page.files == {"a.toml": "x = 1\n"}
    assert [(each.text, each.output) for each in page.commands] == [
        ("echo one\n", ("one",)),
        ("echo two\n", ()),
    ]


def test_words_count_and_numbers_do_not() -> None:
    printed = '14 nodes in 339 s\npushed to /tmp/out/7\n  "summary": "Any.",\n'
    assert missing_line(("16 nodes in 7 s", "pushed to .../1795582584"), printed) is None
    assert missing_line(('"summary": "Another one.",',), printed) is None
    assert missing_line(("14 nodes in 339 min",), printed) == "14 nodes in 339 min"
    assert missing_line(("nodes in many s",), printed) == "nodes in many s"


def test_lines_are_expected_in_their_order() -> None:
    assert missing_line(("a", "b"), "a\nx\nb\n") is None
    assert missing_line(("b", "a"), "a\nx\nb\n") == "a"
    assert missing_line(("a", "a"), "a\n") == "a"
