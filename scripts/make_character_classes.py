"""Writes tokenizer/character_classes.py: how the `tokenizers` library classes characters.

The library splits text into words by letter, number, white space and the rest, as its own
edition of Unicode has them. It does not list them, so it is asked, character by character.
Run it when `tokenizers` is upgraded and the test of the table fails::

    python scripts/make_character_classes.py
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import pre_tokenizers

OTHER, LETTER, NUMBER, SPACE = range(4)
_HEADER = '''"""Which characters are letters, numbers and white space to byte-level BPE.

Written by scripts/make_character_classes.py from what the `tokenizers` library does; Unicode
editions differ, and a count must not. Do not edit.
"""

from __future__ import annotations

from typing import Final

OTHER, LETTER, NUMBER, SPACE = range(4)

# A class holds from its code point to the next one of the list. 16 a line, as
# "code point in base 36, class".
_RUNS: Final = """
{runs}
"""

# Ascending code points, and the class from each on; of the same length.
STARTS: Final[tuple[int, ...]] = tuple(int(run[:-1], 36) for run in _RUNS.split())
CLASSES: Final[tuple[int, ...]] = tuple(int(run[-1]) for run in _RUNS.split())
'''


def character_classes() -> list[int]:
    """The class of every code point; surrogates, which text cannot hold, are OTHER."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    classes = []
    for code_point in range(0x110000):
        if 0xD800 <= code_point < 0xE000:
            classes.append(OTHER)
            continue
        joins = [
            len(splitter.pre_tokenize_str(before + chr(code_point))) == 1 for before in "!a1"
        ]
        if sum(joins) > 1:
            raise AssertionError(f"U+{code_point:04X} is of several classes: {joins}")
        classes.append(joins.index(True) if any(joins) else SPACE)
    return classes


def main() -> None:
    runs = []
    previous = None
    for code_point, kind in enumerate(character_classes()):
        if kind != previous:
            runs.append(f"{base36(code_point)}{kind}")
            previous = kind
    lines = [" ".join(runs[i : i + 16]) for i in range(0, len(runs), 16)]
    target = Path(__file__).parents[1] / "tokenizer" / "character_classes.py"
    target.write_text(_HEADER.format(runs="\n".join(lines)), encoding="utf-8")
    print(f"{target}: {len(runs)} runs")


def base36(value: int) -> str:
    digits = ""
    while value or not digits:
        value, digit = divmod(value, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


if __name__ == "__main__":
    main()
