"""Texts on which counting is likely to go wrong: a fixed list, and a generator.

Tokenizers are tested with them before they are used, and metered models before they are pushed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

_MEGABYTE: Final = 1_000_000
_SENTENCE: Final = "The quick brown fox jumps over the lazy dog, again and again. "

FIXED_HARD_TEXTS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "empty": b"",
        "one space": b" ",
        "white space only": " \t\r\n\v\f\u00a0\u2003\u3000".encode(),
        "inner white space": b"  two  spaces\tand\ttabs\r\n\r\nlines  ",
        "one character": b"a",
        "NUL": b"\0",
        "NUL inside": b"before\0after \0\0 end",
        "control characters": bytes(range(1, 32)) + b"\x7f",
        "invalid UTF-8: lone continuation": b"ok \x80\xbf\x80 ok",
        "invalid UTF-8: never-valid bytes": b"\xff\xfe\xfd\xc0\xc1",
        "invalid UTF-8: cut off inside a character": "cut €".encode()[:-1],
        "invalid UTF-8: overlong": b"\xc0\x80\xe0\x80\xaf\xf0\x80\x80\xaf",
        "invalid UTF-8: surrogates": b"\xed\xa0\x80\xed\xb0\x80\xed\xbf\xbf",
        "invalid UTF-8: beyond Unicode": b"\xf4\x90\x80\x80\xf7\xbf\xbf\xbf",
        "Latin-1 bytes": "Größe Ñandú".encode("latin-1"),
        "byte order mark": "\ufeffmark".encode(),
        "noncharacters": "\ufffe\uffff\U0010ffff\ufdd0".encode(),
        "replacement character": "\ufffd\ufffd".encode(),
        "combining marks": ("e\u0301" * 3 + "a" + "\u0300\u0308\u0323" * 30).encode(),
        "precomposed and decomposed": "é e\u0301 Å A\u030a ﬁ ½ ① Ⅷ ﷺ".encode(),
        "emoji with joiners": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇪🇺 1️⃣".encode(),
        "zero-width": "a\u200bb\u200cc\u200dd\u2060e\u00adf".encode(),
        "right-to-left": "שלום עולם مرحبا بالعالم \u202eabc\u202c".encode(),
        "Chinese, Japanese, Korean": "漢字とかな交じり文。中文分词，한국어 형태소".encode(),
        "Hangul jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af".encode(),
        "Devanagari, Thai": "नमस्ते दुनिया สวัสดีชาวโลก".encode(),
        "ties": b">>> >>>> ===== ------ .... aaaaa ((((( 0000 1111111",
        "special pieces as text": "<pad></s><unk><s> <0x41> ▁ ▁▁a ⁇ ▅".encode(),
        "markup": b'<a href="x">&amp;&lt;b&gt;</a> {"k": [1, 2e-9]} \\n \\u0041',
        "one long word": b"a" * 5_000,
        "one megabyte": (_SENTENCE * (_MEGABYTE // len(_SENTENCE) + 1))[:_MEGABYTE].encode(),
    }
)

_Maker = Callable[[random.Random, list[str]], bytes]

# First and last code points: scripts, marks, symbols, what is special to SentencePiece.
_RANGES: Final = (
    (0x20, 0x7E),
    (0x00, 0x1F),
    (0x80, 0xFF),
    (0x100, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x5FF),
    (0x600, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x1100, 0x11FF),
    (0x2000, 0x206F),
    (0x2100, 0x214F),
    (0x2460, 0x24FF),
    (0x2580, 0x2588),
    (0x3040, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xD800, 0xDFFF),
    (0xE000, 0xF8FF),
    (0xFB00, 0xFDFF),
    (0xFE00, 0xFEFF),
    (0xFF00, 0xFFEF),
    (0x1F1E6, 0x1F1FF),
    (0x1F300, 0x1FAFF),
    (0x10000, 0x10FFFF),
)


def generated_hard_texts(count: int, seed: int, words: list[str]) -> Iterator[bytes]:
    """Generate varied texts, the same for the same arguments on every machine.

    Args:
      count: number of texts.
      seed: of the generator.
      words: real text to mix in, so that a vocabulary's longer pieces occur; may be empty.

    Yields:
      up to a few hundred bytes each: random bytes; random characters of one or of many
      scripts; real words run together, cut, repeated and damaged.
    """
    generator = random.Random(seed)
    for _ in range(count):
        maker = generator.choice(_MAKERS)
        yield maker(generator, words or _SENTENCE.split())


def _length(generator: random.Random) -> int:
    # Short ones are the most telling, long ones must occur.
    return min(int(generator.expovariate(1 / 24)), 400)


def _character(generator: random.Random, first: int, last: int) -> bytes:
    return chr(generator.randint(first, last)).encode("utf-8", "surrogatepass")


def _bytes(generator: random.Random, _: list[str]) -> bytes:
    return generator.randbytes(_length(generator))


def _one_script(generator: random.Random, _: list[str]) -> bytes:
    script = generator.choice(_RANGES)
    return b"".join(_character(generator, *script) for _ in range(_length(generator)))


def _many_scripts(generator: random.Random, _: list[str]) -> bytes:
    return b"".join(
        _character(generator, *generator.choice(_RANGES)) for _ in range(_length(generator))
    )


def _repeats(generator: random.Random, words: list[str]) -> bytes:
    unit: str = generator.choice((generator.choice(words), *".-=> 0aé\u0301▁"))
    return unit.encode("utf-8", "surrogatepass") * min(_length(generator), 60)


def _words(generator: random.Random, words: list[str]) -> bytes:
    glue = generator.choice((" ", "", "  ", "\n", "_", "\u200d"))
    chosen = (generator.choice(words) for _ in range(_length(generator)))
    joined: str = glue.join(chosen)
    return joined.encode("utf-8", "surrogatepass")


def _damaged(generator: random.Random, words: list[str]) -> bytes:
    text = bytearray(_words(generator, words))
    for _ in range(generator.randint(1, 8)):
        place = generator.randint(0, len(text))
        text[place : place + generator.randint(0, 2)] = generator.randbytes(
            generator.randint(0, 2)
        )
    return bytes(text)


_MAKERS: Final[tuple[_Maker, ...]] = (
    _bytes,
    _one_script,
    _many_scripts,
    _repeats,
    _words,
    _damaged,
)
