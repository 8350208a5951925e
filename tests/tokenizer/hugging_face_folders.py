"""Folders with a ``tokenizer.json``, made by the `tokenizers` library itself."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram

from tests.tokenizer.conftest import CORPUS
from tokenizer.bpe_training import train_byte_level_bpe

# Every flag, in the text as it is and in the normalised one; one begins another.
CONTENT = (
    AddedToken("<newtok>"),
    AddedToken("file", lstrip=True, normalized=False),
    AddedToken("a b", rstrip=True),
    AddedToken("é"),
    AddedToken("ﬁx", normalized=False, lstrip=True, rstrip=True),
    AddedToken("aa"),
    AddedToken("aaa"),
)
SPECIAL = ["<pad>", "</s>", "<unk>"]
SENTINELS = ["<extra_id_1>", "<extra_id_0>"]


@cache
def _pieces() -> tuple[list[tuple[str, float]], bytes]:
    """Pieces with scores and NFKC's tables, as SentencePiece trains them for a T5."""
    written = io.BytesIO()
    more = ["aaaa aaaaaaa >>>>>>> ....... ---- ======", "東京 中文 ｶﾅ ①② ½ ﬁn naïve é"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*CORPUS, *more * 3]),
        model_writer=written,
        vocab_size=400,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    return pieces, model.normalizer_spec.precompiled_charsmap


def _unigram() -> Tokenizer:
    """With a T5's sentinels; as transformers 5 makes it."""
    pieces, _ = _pieces()
    library = Tokenizer(Unigram([*pieces, *((name, 0.0) for name in SENTINELS)], unk_id=2))
    library.decoder = decoders.Metaspace(prepend_scheme="always")
    library.add_special_tokens([*SPECIAL, *SENTINELS])
    return library


def t5() -> Tokenizer:
    library = _unigram()
    library.normalizer = normalizers.Precompiled(_pieces()[1])
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    return library


def pegasus() -> Tokenizer:
    library = _unigram()
    library.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(_pieces()[1]), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return library


def converted_t5() -> Tokenizer:
    """As transformers 4 converted ``spiece.model`` files."""
    library = pegasus()
    library.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(_pieces()[1]),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), "▁"),
        ]
    )
    return library


def bart() -> Tokenizer:
    bpe = train_byte_level_bpe(CORPUS, vocab_size=400).bpe
    library = Tokenizer(BPE(vocab=dict(bpe.ids), merges=list(bpe.merges)))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return library


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "t5": t5,
    "pegasus": pegasus,
    "converted_t5": converted_t5,
    "bart": bart,
}


def write(
    directory: Path,
    library: Tokenizer,
    content: Sequence[AddedToken] = (),
    change: Callable[[dict[str, Any]], Any] | None = None,
) -> Path:
    """A model's folder with the library's file; ``change`` may spoil its content."""
    library.add_tokens(list(content))
    values = json.loads(library.to_str())
    if change:
        change(values)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text("{}")
    (directory / "tokenizer.json").write_text(json.dumps(values))
    return directory
