"""Writes tokenizer/grapheme_classes.py: what the `tokenizers` library takes for one character.

Its normalisation of SentencePiece vocabularies works on clusters of characters (extended
grapheme clusters of its own edition of Unicode). It does not list them, so it is asked: with
tables that turn every character into ``!``, a cluster of two is one ``!``, and two are two.
Run it when `tokenizers` is upgraded and the test of the table fails::

    .venv/bin/python -m scripts.make_grapheme_classes
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import normalizers

from scripts.make_character_classes import base36

OTHER, JOINS, PREPENDS, STANDS_ALONE = range(4)
_ACCENT = "\u0300"
_HEADER = '''"""Which characters form one with a neighbour, to the `tokenizers` library.

Written by scripts/make_grapheme_classes.py from what the library does; Unicode editions differ,
and a count must not. Do not edit.
"""

from __future__ import annotations

from typing import Final

# JOINS the character before unless that STANDS_ALONE; PREPENDS itself to the one behind
# unless that stands alone.
OTHER, JOINS, PREPENDS, STANDS_ALONE = range(4)

# A class holds from its code point to the next one of the list. 16 a line, as
# "code point in base 36, class".
_RUNS: Final = """
{runs}
"""

# Ascending code points, and the class from each on; of the same length.
STARTS: Final[tuple[int, ...]] = tuple(int(run[:-1], 36) for run in _RUNS.split())
CLASSES: Final[tuple[int, ...]] = tuple(int(run[-1]) for run in _RUNS.split())
'''


def everything_is_a_sign() -> normalizers.Precompiled:
    """A normalisation by tables that turn every character but NUL into ``!``."""
    code_points = [*range(1, 0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000)]
    written = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="ascii") as rules:
        rules.writelines(f"{each:X}\t21\n" for each in code_points if each != 0x21)
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["!!"]),
            model_writer=written,
            vocab_size=10,
            hard_vocab_limit=False,
            normalization_rule_tsv=rules.name,
            minloglevel=2,
        )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    return normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)


def grapheme_classes() -> list[int]:
    """The class of every code point; surrogates, which text cannot hold, are OTHER."""
    normalize = everything_is_a_sign().normalize_str
    classes = []
    for code_point in range(0x110000):
        character = "" if 0xD800 <= code_point < 0xE000 else chr(code_point)
        if not character or code_point == 0:
            classes.append(OTHER if code_point else STANDS_ALONE)
        elif normalize("a" + character) == "!":
            classes.append(JOINS)
        elif code_point < 0x10000 and normalize(character + _ACCENT) != "!":
            classes.append(STANDS_ALONE)
        elif normalize(character + "a") == "!":
            classes.append(PREPENDS)
        else:
            classes.append(OTHER)
    return classes


def main() -> None:
    runs = []
    previous = None
    for code_point, kind in enumerate(grapheme_classes()):
        if kind != previous:
            runs.append(f"{base36(code_point)}{kind}")
            previous = kind
    lines = [" ".join(runs[i : i + 16]) for i in range(0, len(runs), 16)]
    target = Path(__file__).parents[1] / "tokenizer" / "grapheme_classes.py"
    target.write_text(_HEADER.format(runs="\n".join(lines)), encoding="utf-8")
    print(f"{target}: {len(runs)} runs")


if __name__ == "__main__":
    main()
