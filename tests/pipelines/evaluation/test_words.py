import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer

from pipelines.evaluation.words import EnglishWords, first_sentence, rouge_words, words

ENGLISH = EnglishWords()
REFERENCE = DefaultTokenizer(use_stemmer=True)


@given(st.text())
def test_english_words_are_those_of_rouge_score(text: str) -> None:
    assert ENGLISH.tokenize(text) == REFERENCE.tokenize(text)


def test_english_words_stem_what_is_longer_than_three_letters() -> None:
    assert ENGLISH.tokenize("Running dogs' (2) has") == ["run", "dog", "2", "has"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße, ÄPFEL!", ["strasse", "äpfel"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("snake_case 1.5", ["snake_case", "1", "5"]),
        (" \n", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("Return the sum. Raises nothing.", "Return the sum."),
        ("Return it, e.g. a list. More.", "Return it, e.g. a list."),
        ("J. Smith wrote it. Yes.", "J. Smith wrote it."),
        ("Version 1.2 is out! Get it.", "Version 1.2 is out!"),
        ('He said "no." Then left.', 'He said "no."'),
        ("A title\n\nThe text. More.", "A title"),
        ("これは文です。次の文。", "これは文です。"),
        ("... And then? Nothing.", "... And then?"),
        ("  no end at all  ", "no end at all"),
        ("", ""),
    ],
)
def test_first_sentence(document: str, expected: str) -> None:
    assert first_sentence(document) == expected


@given(st.text())
def test_first_sentence_is_where_the_document_begins(document: str) -> None:
    assert document.strip().startswith(first_sentence(document))


def test_refuses_a_kind_of_words_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"'english' or 'unicode'. Received: 'klingon'"):
        rouge_words("klingon")
