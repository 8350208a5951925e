from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.loading import TokenizerDescriptor, load_tokenizer, save_tokenizer


@pytest.fixture
def directory(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def edit(directory: Path, **values: object) -> None:
    path = directory / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


DESCRIPTORS = {
    "sentencepiece": {
        "kind": "sentencepiece",
        "vocabulary_size": 324,
        "fingerprint": "489530d6baee242d0e77c7703f0059ae1ca02721979b8b259aaf6dbfe72e0177",
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": None,
    },
    "byte_level_bpe": {
        "kind": "byte_level_bpe",
        "vocabulary_size": 369,
        "fingerprint": "1c390f11c3352ed6b102f3d3898672b762f900ad04808ffb523c96a92d154da3",
        "pad_id": 1,
        "eos_id": 2,
        "unk_id": None,
        "bos_id": 0,
    },
}
FILES = {"sentencepiece": ["tokenizer.model"], "byte_level_bpe": ["merges.txt", "vocab.json"]}


def test_what_was_saved_is_loaded(tokenizer: Tokenizer, directory: Path) -> None:
    loaded = load_tokenizer(directory)
    assert loaded.files() == tokenizer.files()
    assert loaded.encode("café") == tokenizer.encode("café")
    descriptor = json.loads((directory / "tokenizer.json").read_text())
    assert descriptor == DESCRIPTORS[tokenizer.kind]


def test_anybody_can_check_the_fingerprint(tokenizer: Tokenizer, directory: Path) -> None:
    names = " ".join(FILES[tokenizer.kind])
    shell = f"sha256sum {names} | sha256sum | cut -d' ' -f1"
    checked = subprocess.run(shell, shell=True, cwd=directory, capture_output=True, text=True)
    assert checked.stdout.strip() == tokenizer.fingerprint


def test_saving_twice_gives_the_same_folder(
    tokenizer: Tokenizer, directory: Path, tmp_path: Path
) -> None:
    save_tokenizer(load_tokenizer(directory), tmp_path / "again")
    for name in ("tokenizer.json", *FILES[tokenizer.kind]):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()


def test_a_changed_file_is_refused(tokenizer: Tokenizer, directory: Path) -> None:
    for name in FILES[tokenizer.kind]:
        original = (directory / name).read_bytes()
        content = bytearray(original)
        content[len(content) // 2] ^= 1
        (directory / name).write_bytes(content)
        expected = rf"were changed after.*Expected fingerprint: {tokenizer.fingerprint}"
        with pytest.raises(TokenizerError, match=expected):
            load_tokenizer(directory)
        (directory / name).write_bytes(original)


def test_another_model_with_its_own_fingerprint_but_other_claims_is_refused(
    tokenizer: Tokenizer, directory: Path
) -> None:
    edit(directory, vocabulary_size=4000)
    size = tokenizer.vocabulary_size
    with pytest.raises(TokenizerError, match=rf"does not describe.*{size}.*Received.*4000"):
        load_tokenizer(directory)


def test_a_missing_file_is_named(tokenizer: Tokenizer, directory: Path) -> None:
    for name in ("tokenizer.json", *FILES[tokenizer.kind]):
        content = (directory / name).read_bytes()
        (directory / name).unlink()
        with pytest.raises(TokenizerError, match=rf"{name} cannot be read: No such file"):
            load_tokenizer(directory)
        (directory / name).write_bytes(content)


def test_an_unknown_kind_is_refused_with_those_that_are_known(directory: Path) -> None:
    edit(directory, kind="wordpiece")
    kinds = r"one of sentencepiece, byte_level_bpe, hugging_face\. Received: 'wordpiece'"
    with pytest.raises(TokenizerError, match=kinds):
        load_tokenizer(directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "not a tokenizer's descriptor"),
        ('{"kind": 1}', "descriptor"),
    ],
)
def test_a_broken_descriptor_is_refused(directory: Path, content: str, message: str) -> None:
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(directory)


def test_a_descriptor_is_read_without_the_model(directory: Path, tokenizer: Tokenizer) -> None:
    for name in FILES[tokenizer.kind]:
        (directory / name).unlink()
    assert TokenizerDescriptor.load(directory) == TokenizerDescriptor.of(tokenizer)
