"""Byte-level BPE in a ``tokenizer.json``: its checks, and its conversion to the files that BART
had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizer.base import TokenizerError
from tokenizer.bpe_vocabulary import MERGES_FILE, VOCABULARY_FILE, Bpe, read_bpe
from tokenizer.hugging_face_library import require_component


def check_bpe(values: Mapping[str, Any]) -> None:
    """Refuse a BPE that differs from that of GPT-2, RoBERTa and BART.

    Args:
      values: content of a ``tokenizer.json`` with a BPE.

    Raises:
      TokenizerError: a part of it has other settings, or is another part.
    """
    require_component(
        "model",
        values["model"],
        dropout=(None, 0.0),
        continuing_subword_prefix=("", None),
        end_of_word_suffix=("", None),
        byte_fallback=False,
        ignore_merges=False,
    )
    if values.get("normalizer"):
        require_component("normalizer", values["normalizer"], type=None)
    require_component(
        "pre_tokenizer",
        values.get("pre_tokenizer") or {"type": None},
        type="ByteLevel",
        add_prefix_space=False,
        use_regex=True,
    )
    require_component("decoder", values.get("decoder") or {"type": None}, type="ByteLevel")
    bpe_of(values)


def bpe_files(values: Mapping[str, Any]) -> dict[str, bytes]:
    """``vocab.json`` and ``merges.txt`` of a ``tokenizer.json`` with a byte-level BPE."""
    model = values["model"]
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    lines = "".join(f"{' '.join(pair)}\n" for pair in merges)
    return {
        VOCABULARY_FILE: json.dumps(model["vocab"], ensure_ascii=False).encode(),
        MERGES_FILE: f"#version: 0.2\n{lines}".encode(),
    }


def bpe_of(values: Mapping[str, Any]) -> Bpe:
    """The vocabulary and merges of a ``tokenizer.json``.

    Raises:
      TokenizerError: they are not those of a byte-level BPE.
    """
    try:
        files = bpe_files(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(f"tokenizer.json has no valid BPE model: {error!r}") from None
    return read_bpe(files[VOCABULARY_FILE], files[MERGES_FILE])
