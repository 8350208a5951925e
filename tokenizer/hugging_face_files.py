"""Reads special and added tokens from the tokenizer files of a Hugging Face folder.

A special token steers the model (``</s>``, ``<extra_id_0>``, ``<mask>``): its name in a text is
text. Any other added token is content: its name in a text is one id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizer.base import TokenizerError

TOKENIZER_JSON: Final = "tokenizer.json"
_CONFIG: Final = "tokenizer_config.json"
_MODEL_CONFIG: Final = "config.json"
_SPECIAL_MAP: Final = "special_tokens_map.json"
_ADDED: Final = "added_tokens.json"
_SENTINEL: Final = re.compile(r"▁?<extra_id_\d+>")  # of T5s
_USUAL: Final = re.compile(
    r"</?s>|<pad>|<unk>|<mask>|<mask_[12]>|<unk_\d+>|" + _SENTINEL.pattern
)
# Keys of lists of names; all others that end so name one token.
_LISTS: Final = ("additional_special_tokens", "extra_special_tokens")
_ADVICE: Final = (
    "Save the tokenizer again where transformers is installed: "
    "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token beside the model's own pieces, with the flags of the `tokenizers` library.

    Attributes:
      content: its name in a text.
      single_word: found only if no letter, digit or underscore is next to it.
      lstrip, rstrip: white space before, or after, is part of it.
      normalized: looked for in the normalised text, else in the unchanged text.
    """

    content: str
    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True


@dataclass(frozen=True, slots=True)
class HuggingFaceFiles:
    """The files of one folder, read together.

    Attributes:
      library: content of ``tokenizer.json``; None if there is none.
      special: names of the special tokens.
      content: the added tokens that are not special, by id.
      model_type: of the model in the same folder, from its ``config.json``.
      offset: of a Pegasus's pieces, if ``tokenizer_config.json`` has it.
    """

    library: dict[str, Any] | None
    special: frozenset[str]
    content: tuple[AddedToken, ...]
    model_type: str | None = None
    offset: int | None = None


def read_hugging_face_files(directory: Path) -> HuggingFaceFiles:
    """Read a folder's ``tokenizer.json`` and the other tokenizer files.

    Raises:
      TokenizerError: a file is not JSON, or one names an added token that ``tokenizer.json``
        does not have: the ids of a text are then not known.
    """
    config, own_map = (_read(directory / name) or {} for name in (_CONFIG, _SPECIAL_MAP))
    library = _read(directory / TOKENIZER_JSON)
    if library is not None and "model" not in library:
        library = None  # a descriptor of ours
    listed = [] if library is None else list(library.get("added_tokens") or ())
    special = frozenset(
        [*_special_names(config), *_special_names(own_map)]
        + [token["content"] for token in listed if token["special"]]
    )
    content = tuple(
        sorted(
            (
                AddedToken(**{name: token[name] for name in AddedToken.__dataclass_fields__})
                for token in listed
                if token["content"] not in special
            ),
            key=lambda token: token.id,
        )
    )
    known = {(token["content"], token["id"]) for token in listed}
    elsewhere = {
        (name, value)
        for name, value in _added_elsewhere(directory, config)
        if name not in special and not _SENTINEL.fullmatch(name)
    }
    if unknown := sorted(elsewhere - known):
        raise TokenizerError(
            f"{directory} has added tokens that its {TOKENIZER_JSON} does not have, so it "
            f"is not known how texts are counted. Expected: {TOKENIZER_JSON} with all of "
            "them. Received: "
            f"{', '.join(f'{name!r} (id {value})' for name, value in unknown[:5])}. "
            f"{_ADVICE}"
        )
    model = _read(directory / _MODEL_CONFIG) or {}
    return HuggingFaceFiles(
        library, special, content, model.get("model_type"), config.get("offset")
    )


def unusual_special_names(directory: Path) -> list[str]:
    """Return the special tokens of a folder that were added to those of its family.

    Raises:
      TokenizerError: see `read_hugging_face_files`.
    """
    special = read_hugging_face_files(directory).special
    return sorted(name for name in special if not _USUAL.fullmatch(name))


def _special_names(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if key in _LISTS:
            each = list(value.values()) if isinstance(value, dict) else list(value or ())
        elif key.endswith("_token") and isinstance(value, str | dict):
            each = [value]
        else:
            continue
        for token in each:
            yield token["content"] if isinstance(token, dict) else str(token)
    for token in (values.get("added_tokens_decoder") or {}).values():
        if token.get("special"):
            yield token["content"]


def _added_elsewhere(directory: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield from (_read(directory / _ADDED) or {}).items()
    for value, token in (config.get("added_tokens_decoder") or {}).items():
        yield token["content"], int(value)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{path} must contain a JSON object. Received: {str(value)[:80]}")
    return value
