from __future__ import annotations

from tokenizer.fingerprint import fingerprint_of


def test_golden() -> None:
    # printf 'one' > a; printf 'two' > b; sha256sum a b | sha256sum
    assert fingerprint_of({"b": b"two", "a": b"one"}) == (
        "d17138d96382403690482a89da33475336ab36c046a6912a86badedd62301cb8"
    )


def test_names_contents_and_their_borders_count() -> None:
    fingerprints = {
        fingerprint_of(files)
        for files in (
            {"a": b"one", "b": b"two"},
            {"a": b"two", "b": b"one"},
            {"a": b"onetwo", "b": b""},
            {"a": b"one"},
            {"ab": b"onetwo"},
        )
    }
    assert len(fingerprints) == 5
