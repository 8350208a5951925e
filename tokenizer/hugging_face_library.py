"""The canonical form of ``tokenizer.json``, and the library that counts are compared with.

It keeps only what determines the ids of a text and the text of ids. Special tokens keep their
ids and lose their names, because their names in a text are text: the library alone would read
``</s>`` as id 1 of a T5, whatever its settings.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import tokenizers

from tokenizer.base import TokenizerError
from tokenizer.hugging_face_files import AddedToken, HuggingFaceFiles

LIBRARY_FILE: Final = "hugging_face.json"
# Before the name of a special token. No text has it where a piece could be found: words are
# looked up without white space.
_UNSPEAKABLE: Final = " "


def canonical_library(files: HuggingFaceFiles) -> bytes:
    """Return the library's file in the form in which a tokenizer is stored; see the module.

    Raises:
      TokenizerError: its kind of model is not supported.
    """
    assert files.library is not None
    values = copy.deepcopy(files.library)
    model = values["model"]
    if model.get("type") == "Unigram":
        model["vocab"] = [
            [_UNSPEAKABLE + piece if piece in files.special else piece, score]
            for piece, score in model["vocab"]
        ]
    elif model.get("type") != "BPE":
        raise TokenizerError(
            "tokenizer.json has a model that is not supported. Expected: Unigram or BPE. "
            f"Received: {model.get('type')!r}"
        )
    for token in values.get("added_tokens") or ():
        token["special"] = token["content"] in files.special
        if token["special"] and model["type"] == "Unigram":
            token["content"] = _UNSPEAKABLE + token["content"]
    values |= {"truncation": None, "padding": None, "post_processor": None}
    return json.dumps(values, ensure_ascii=False, sort_keys=True).encode()


def load_library(content: bytes) -> tokenizers.Tokenizer:
    """Load the library from `canonical_library`'s file; call it without special tokens.

    Raises:
      TokenizerError: the library rejects it.
    """
    try:
        library = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(f"{LIBRARY_FILE} cannot be read by its library: {error}") from None
    library.encode_special_tokens = True  # their names are text
    return library


def special_names(values: Mapping[str, Any]) -> dict[str, int]:
    """Return the ids of the special tokens by name, from a canonical file's content."""
    if values["model"]["type"] == "Unigram":
        pieces = (piece for piece, _ in values["model"]["vocab"])
        found = {
            piece.removeprefix(_UNSPEAKABLE): value
            for value, piece in enumerate(pieces)
            if piece.startswith(_UNSPEAKABLE)
        }
    else:
        found = {}
    return found | {
        token["content"].removeprefix(_UNSPEAKABLE): token["id"]
        for token in values.get("added_tokens") or ()
        if token["special"]
    }


def content_tokens(values: Mapping[str, Any]) -> tuple[AddedToken, ...]:
    """Return the added tokens that are content, from a canonical file's content."""
    names = AddedToken.__dataclass_fields__
    return tuple(
        AddedToken(**{name: token[name] for name in names})
        for token in values.get("added_tokens") or ()
        if not token["special"]
    )


def require_component(name: str, received: Mapping[str, Any] | None, **expected: Any) -> None:
    """Refuse a part of ``tokenizer.json`` whose settings are not supported.

    Args:
      name: of the part.
      received: its settings.
      expected: the required values of its settings, if they are present; a tuple lists several.

    Raises:
      TokenizerError: lists all settings that differ.
    """
    own = received or {}
    problems = []
    for key, value in expected.items():
        allowed = value if isinstance(value, tuple) else (value,)
        default = allowed[0]
        if own.get(key, default) not in allowed:
            problems.append(
                f"{name}.{key} must be {' or '.join(map(repr, allowed))}. Received: "
                f"{own.get(key)!r}"
            )
    if problems:
        raise TokenizerError("this tokenizer.json is not supported: " + "; ".join(problems))
