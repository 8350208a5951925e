from __future__ import annotations

import unicodedata

from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts


def test_the_fixed_list_holds_what_it_says() -> None:
    assert len(FIXED_HARD_TEXTS["one megabyte"]) == 1_000_000
    for name, text in FIXED_HARD_TEXTS.items():
        is_valid = text.decode("utf-8", "replace").encode() == text
        assert is_valid != (name.startswith("invalid UTF-8") or name == "Latin-1 bytes"), name


def test_generated_texts_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    first, again, other = (list(generated_hard_texts(200, seed, [])) for seed in (1, 1, 2))
    assert first == again != other
    assert first[1] == b"andfoxlazyjumpsThethedog,andquickbrown"


def test_generated_texts_have_variety() -> None:
    texts = list(generated_hard_texts(2_000, seed=0, words=["naïve", "words"]))
    assert len(set(texts)) > 1_500
    invalid = [text for text in texts if text.decode("utf-8", "ignore").encode() != text]
    assert len(invalid) > 500
    characters = {c for text in texts for c in text.decode("utf-8", "ignore")}
    categories = {unicodedata.category(character) for character in characters}
    assert {"Cc", "Cf", "Mn", "Lo", "Ll", "Nd", "So", "Co", "Cn", "Zs"} <= categories
    assert b"\0" in b"".join(texts)
    assert max(map(len, texts)) > 300
    assert b"" in texts
