"""TokenizerTrainer: the vocabulary that everything is counted in."""

from __future__ import annotations

from pathlib import Path

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.artifacts import Tokenizer
from components.tokenizer_trainer import executor
from tokenizer.pretrained import load_pretrained_tokenizer
from tokenizer.sampling import MAX_SENTENCES


class TokenizerTrainerSpec(ComponentSpec):
    """Channels and parameters of TokenizerTrainer."""

    INPUTS = {executor.EXAMPLES_KEY: ChannelParameter(type=Examples)}  # noqa: RUF012
    OUTPUTS = {executor.TOKENIZER_KEY: ChannelParameter(type=Tokenizer)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        executor.KIND_KEY: ExecutionParameter(type=str),
        executor.VOCAB_SIZE_KEY: ExecutionParameter(type=int),
        executor.MAX_SENTENCES_KEY: ExecutionParameter(type=int),
        executor.PINNED_KEY: ExecutionParameter(type=str),
        executor.PINNED_FINGERPRINT_KEY: ExecutionParameter(type=str),
    }


class TokenizerTrainer(BaseComponent):
    """Trains a tokenizer on the train split, or takes over a given one unchanged.

    A tokenizer determines what a text costs: pin the one that is in use, and counts do not
    change. A tokenizer is used only if its graph gives exactly the ids of its library on hard
    texts and on some of the corpus, however it was made.

    Minimal example::

        tokenizer_trainer = TokenizerTrainer(
            examples=example_gen.outputs["examples"], kind="sentencepiece", vocab_size=8000
        )

    Full example::

        tokenizer_trainer = TokenizerTrainer(
            examples=example_gen.outputs["examples"],
            kind="sentencepiece",
            vocab_size=8000,
            max_sentences=50_000,
            pinned="tokenizers/2026-01",  # trains nothing; neither number is used
            # or a model's folder: pinned="checkpoints/flan-t5-small"
        )

    Output `tokenizer` (Tokenizer): a folder for `tokenizer.loading.load_tokenizer`;
    properties `kind`, `vocabulary_size` (as trained: may be below `vocab_size`) and
    `fingerprint`; custom properties `sentences` and `sentences_in_corpus`, which differ if the
    vocabulary was trained on a sample.
    """

    SPEC_CLASS = TokenizerTrainerSpec
    EXECUTOR_SPEC = ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        kind: str = "sentencepiece",
        vocab_size: int = 8000,
        max_sentences: int = MAX_SENTENCES,
        pinned: str = "",
    ):
        """Wire the component.

        Args:
          examples: Examples with the bytes features `document` and `summary`; the split
            `train` is read.
          kind: `sentencepiece` or `byte_level_bpe`; a pinned tokenizer must be of this kind.
          vocab_size: maximum number of ids of a trained vocabulary.
          max_sentences: maximum number of sentences that a vocabulary is trained on; a larger
            split is sampled (see `tokenizer.sampling`).
          pinned: folder of a tokenizer to take over, or of a pretrained model that has one (see
            `tokenizer.pretrained`); empty: a tokenizer is trained.
        """
        super().__init__(
            TokenizerTrainerSpec(
                examples=examples,
                tokenizer=types.Channel(type=Tokenizer),
                kind=kind,
                vocab_size=vocab_size,
                max_sentences=max_sentences,
                pinned=pinned,
                pinned_fingerprint=_fingerprint(pinned),
            )
        )


def _fingerprint(pinned: str) -> str:
    """Another tokenizer in the same folder must run the node again: part of its cache key.

    Empty where the pipeline is defined on a machine that does not have the folder.
    """
    if not pinned or not Path(pinned).is_dir():
        return ""
    return load_pretrained_tokenizer(pinned).fingerprint
