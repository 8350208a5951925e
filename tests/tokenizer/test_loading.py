from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tokenizer.base import TokenizerError
from tokenizer.loading import TokenizerDescriptor, load_tokenizer, save_tokenizer


@pytest.fixture
def directory(tokenizer, tmp_path: Path) -> Path:
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def edit(directory: Path, **values: object) -> None:
    path = directory / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_was_saved_is_loaded(tokenizer, directory) -> None:
    loaded = load_tokenizer(directory)
    assert loaded.files() == tokenizer.files()
    assert loaded.encode("café") == tokenizer.encode("café")
    assert json.loads((directory / "tokenizer.json").read_text()) == {
        "kind": "sentencepiece",
        "vocabulary_size": 324,
        "fingerprint": "489530d6baee242d0e77c7703f0059ae1ca02721979b8b259aaf6dbfe72e0177",
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": None,
    }


def test_anybody_can_check_the_fingerprint(tokenizer, directory) -> None:
    shell = "sha256sum tokenizer.model | sha256sum | cut -d' ' -f1"
    checked = subprocess.run(shell, shell=True, cwd=directory, capture_output=True, text=True)
    assert checked.stdout.strip() == tokenizer.fingerprint


def test_saving_twice_gives_the_same_folder(tokenizer, directory, tmp_path) -> None:
    save_tokenizer(load_tokenizer(directory), tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()


def test_a_changed_model_is_refused(directory) -> None:
    model = directory / "tokenizer.model"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"have been changed.*Expected fingerprint: 4895"):
        load_tokenizer(directory)


def test_another_model_with_its_own_fingerprint_but_other_claims_is_refused(directory) -> None:
    edit(directory, vocabulary_size=4000)
    with pytest.raises(TokenizerError, match=r"does not describe.*324.*Received.*4000"):
        load_tokenizer(directory)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
def test_a_missing_file_is_named(directory, name) -> None:
    (directory / name).unlink()
    with pytest.raises(TokenizerError, match=rf"{name} cannot be read: No such file"):
        load_tokenizer(directory)


def test_an_unknown_kind_is_refused_with_those_that_are_known(directory) -> None:
    edit(directory, kind="wordpiece")
    with pytest.raises(TokenizerError, match=r"one of sentencepiece\. Received: 'wordpiece'"):
        load_tokenizer(directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not JSON"), ("[]", "no tokenizer's descriptor"), ('{"kind": 1}', "descriptor")],
)
def test_a_broken_descriptor_is_refused(directory, content, message) -> None:
    (directory / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(directory)


def test_a_descriptor_is_read_without_the_model(directory, tokenizer) -> None:
    (directory / "tokenizer.model").unlink()
    assert TokenizerDescriptor.load(directory) == TokenizerDescriptor.of(tokenizer)
