"""Versions as the pipeline pushes them, of random weights, for both families and tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from components.meter.executor import save_metered_model
from pipelines.checkpoints.keras_preset import save_preset
from pipelines.config_sections import ExportConfig
from pipelines.models.architecture import Architecture
from tests.pipelines.models.random_models import random_model
from tests.pipelines.training.training_runs import TransformedCorpus, export
from tests.pipelines.transformed_corpus import transformed_corpus
from tests.support.made_once import made_for_all
from tokenizer.bpe_training import train_byte_level_bpe
from tokenizer.contract import (
    CONTRACT_VERSION,
    TOKENIZER_DIR,
    BaseModelSpec,
    MeteringRecord,
)
from tokenizer.loading import load_tokenizer, save_tokenizer
from tokenizer.training import train_sentencepiece

NAME: Final = "1764300000"
_SIZES: Final[dict[str, Any]] = {
    "d_model": 24,
    "num_layers": 2,
    "num_heads": 3,
    "d_ff": 48,
    "max_input_tokens": 30,
    "max_output_tokens": 12,
    "task_prefix": "Return ",
}


@dataclass(frozen=True)
class Kind:
    """A family with a tokenizer, and rules for what it writes."""

    family: str
    train: Callable[..., Any]
    forced: bool
    decoding: dict[str, Any]


KINDS: Final = {
    "t5": Kind(
        "t5",
        train_sentencepiece,
        False,
        {"no_repeat_ngram_size": 3, "min_output_tokens": 2, "repetition_penalty": 1.2},
    ),
    "bart": Kind(
        "bart",
        train_byte_level_bpe,
        True,
        {"no_repeat_ngram_size": 2, "banned_ids": [[40], [50, 51]], "force_eos": True},
    ),
}


def corpus_of(kind: str, factory: pytest.TempPathFactory) -> TransformedCorpus:
    return transformed_corpus(factory, KINDS[kind].train)


def plain_version(kind: str, factory: pytest.TempPathFactory) -> Path:
    """A version with the settings of its kind; made once in a run, to be read."""

    def make(root: Path) -> None:
        pushed_version(kind, corpus_of(kind, factory), root)

    return made_for_all(factory, f"version-{kind}", make) / NAME


def pushed_version(
    kind: str,
    corpus: TransformedCorpus,
    root: Path,
    settings: ExportConfig | None = None,
    **decoding: Any,
) -> Path:
    """A metered version in a folder of its own; ``decoding``: other settings of its search."""
    tokenizer = load_tokenizer(corpus.tokenizer_dir)
    own = KINDS[kind]
    model = _SIZES | {"family": own.family} | own.decoding | decoding
    architecture = Architecture.from_config(
        model,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=tokenizer.pad_id,
        eos_id=tokenizer.eos_id,
        prefix_ids=tuple(tokenizer.encode(model["task_prefix"])),
    )
    if own.forced:  # as BART's own checkpoints
        architecture = replace(
            architecture, decoder_start_id=tokenizer.eos_id, forced_bos_id=tokenizer.bos_id
        )
    trained = root / "Format-Serving"
    save_tokenizer(tokenizer, trained / TOKENIZER_DIR)
    model_of_version = random_model(architecture)
    if own.family == "bart":  # of so many ids another would lead EOS in every step
        embeddings = model_of_version.backbone.token_embedding.embeddings
        rows = embeddings.numpy()
        rows[architecture.eos_id] *= 1.7
        embeddings.assign(rows)
    save_preset(model_of_version, architecture, (), trained)
    base = export(
        SimpleNamespace(serving_model_dir=str(trained), custom_config={"model": model}),
        corpus,
        settings=settings,
    )
    spec = BaseModelSpec.load(base)
    version = root / NAME
    save_metered_model(base, version, spec)
    values = asdict(spec)
    MeteringRecord(
        **{name: values[name] for name in MeteringRecord.__slots__ if name in values},
        contract_version=CONTRACT_VERSION,
        pipeline_run="run",
        spans=(0,),
        code_version="0" * 16,
    ).save(version)
    return version
