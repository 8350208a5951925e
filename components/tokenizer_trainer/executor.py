"""The work of TokenizerTrainer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from logging import getLogger
from typing import Any, Final

from absl import logging
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils

from components.example_texts import example_texts
from tokenizer.agreement import check_agreement
from tokenizer.base import Tokenizer, TokenizerError
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.hard_texts import FIXED_HARD_TEXTS, generated_hard_texts
from tokenizer.loading import save_tokenizer
from tokenizer.pretrained import load_pretrained_tokenizer
from tokenizer.sampling import TextSample
from tokenizer.training import train_sentencepiece

EXAMPLES_KEY: Final = "examples"
TOKENIZER_KEY: Final = "tokenizer"
KIND_KEY: Final = "kind"
VOCAB_SIZE_KEY: Final = "vocab_size"
MAX_SENTENCES_KEY: Final = "max_sentences"
PINNED_KEY: Final = "pinned"
PINNED_FINGERPRINT_KEY: Final = "pinned_fingerprint"

# Custom properties of a Tokenizer that was trained.
SENTENCES_KEY: Final = "sentences"
SENTENCES_IN_CORPUS_KEY: Final = "sentences_in_corpus"

_PROGRESS: Final = getLogger("tallygraph.tokenizer")

TRAIN_SPLIT: Final = "train"
TEXT_FEATURES: Final = ("document", "summary")

# How each kind is trained: (texts, vocab_size, sample) → tokenizer.
_TRAINERS: Final[Mapping[str, Callable[[Iterable[str], int, TextSample], Tokenizer]]] = {
    "sentencepiece": train_sentencepiece,
    "byte_level_bpe": train_byte_level_bpe,
}

# Enough to find a library that breaks ties differently, cheap enough to try every time.
_AGREEMENT_EXAMPLES: Final = 200
_AGREEMENT_GENERATED: Final = 1000
_AGREEMENT_SEED: Final = 20_260_101


class Executor(BaseExecutor):
    """Trains a tokenizer, or takes over a pinned one, checks it, and writes it."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Write the tokenizer.

        Args:
          input_dict: `examples`: Examples with `document` and `summary`.
          output_dict: `tokenizer`: an empty Tokenizer; its folder and properties are set.
          exec_properties: `kind`, `vocab_size`, `max_sentences`, `pinned` (a folder, or
            empty) and `pinned_fingerprint` (what that folder must have, or empty).

        Raises:
          TokenizerError: the corpus is empty, `vocab_size` is too small for it, the pinned
            folder has changed since it was pinned, or graph and library disagree.
          ExampleError: the examples cannot be read.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = input_dict[EXAMPLES_KEY]
        artifact = artifact_utils.get_single_instance(output_dict[TOKENIZER_KEY])
        kind, pinned = exec_properties[KIND_KEY], exec_properties.get(PINNED_KEY)
        if pinned:
            tokenizer = _pinned(pinned, kind, exec_properties.get(PINNED_FINGERPRINT_KEY))
        else:
            sample = TextSample(exec_properties[MAX_SENTENCES_KEY])
            tokenizer = _trained(examples, kind, exec_properties[VOCAB_SIZE_KEY], sample)
            artifact.set_int_custom_property(SENTENCES_KEY, sample.taken)
            artifact.set_int_custom_property(SENTENCES_IN_CORPUS_KEY, sample.seen)
        _prove(tokenizer, examples)
        save_tokenizer(tokenizer, artifact.uri)
        artifact.kind = tokenizer.kind
        artifact.vocabulary_size = tokenizer.vocabulary_size
        artifact.fingerprint = tokenizer.fingerprint
        logging.info(
            "Tokenizer %s: %s, %d ids.",
            tokenizer.fingerprint,
            "pinned" if pinned else "trained",
            tokenizer.vocabulary_size,
        )


def _trained(
    examples: list[types.Artifact], kind: str, vocab_size: int, sample: TextSample
) -> Tokenizer:
    train = _TRAINERS.get(kind)
    if train is None:
        raise TokenizerError(
            f"a tokenizer of this kind cannot be trained. Expected: one of "
            f"{', '.join(_TRAINERS)}. Received: {kind!r}"
        )
    texts = example_texts(examples, TRAIN_SPLIT, TEXT_FEATURES)
    tokenizer = train(itertools.chain.from_iterable(texts), vocab_size, sample)
    if sample.note():
        _PROGRESS.info(
            "the vocabulary is trained on %s of the train split, a sample that does not depend "
            "on their order (tokenizer.max_sentences = %d)",
            sample.note(),
            sample.most,
        )
    return tokenizer


def _pinned(directory: str, kind: str, fingerprint: str | None) -> Tokenizer:
    tokenizer = load_pretrained_tokenizer(directory)
    if tokenizer.kind != kind:
        raise TokenizerError(
            f"the pinned tokenizer in {directory} is of another kind. Expected: {kind!r}. "
            f"Received: {tokenizer.kind!r}"
        )
    if fingerprint and tokenizer.fingerprint != fingerprint:
        raise TokenizerError(
            f"the pinned tokenizer in {directory} is not the one that the pipeline was "
            f"defined with. Expected fingerprint: {fingerprint}. Received: "
            f"{tokenizer.fingerprint}"
        )
    return tokenizer


def _prove(tokenizer: Tokenizer, examples: list[types.Artifact]) -> None:
    read = example_texts(examples, TRAIN_SPLIT, TEXT_FEATURES)
    texts = list(itertools.chain.from_iterable(itertools.islice(read, _AGREEMENT_EXAMPLES)))
    words = [word for text in texts for word in text.split()]
    generated = generated_hard_texts(_AGREEMENT_GENERATED, _AGREEMENT_SEED, words)
    check_agreement(tokenizer, [*texts, *FIXED_HARD_TEXTS.values(), *generated])
