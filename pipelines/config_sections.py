"""The sections of a settings file, a class each; `pipelines.config` reads the file."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """Where (document, summary) pairs come from."""

    path: str = setting("", "File, folder or glob of the corpus; --corpus overrides it.")
    format: Literal["auto", "jsonl", "json", "csv", "parquet", "arrow", "tfrecord"] = setting(
        "auto", "Format of the files; 'auto' goes by their names."
    )
    document_field: str = setting("document", "Field or column of the text.", min_length=1)
    summary_field: str = setting("summary", "Field or column of the summary.", min_length=1)
    max_document_bytes: int = setting(
        100_000, "Longest document taken, in bytes of UTF-8; longer ones are rejected.", gt=0
    )
    max_summary_bytes: int = setting(
        10_000, "Longest summary taken, in bytes of UTF-8; longer ones are rejected.", gt=0
    )
    eval_fraction: float = setting(
        0.05,
        "Share of the documents held out where the corpus names no splits of its own.",
        gt=0,
        lt=1,
    )
    test_path: str = setting(
        "",
        "File, folder or glob of a test set that stays as it is, whatever spans arrive: the "
        "thresholds and the champion's lead are then measured on it, and the spans' own "
        "held-out documents are measured beside it. Empty takes the latter for both.",
    )


CHAMPION: Final = "champion"
"""In place of a folder: that of the model registry's champion, resolved when a run starts."""

# A SentencePiece vocabulary also needs the corpus's own characters, at least so many; how
# many more, training says.
_SMALLEST_VOCABULARY: Final = {"sentencepiece": 300, "byte_level_bpe": 260}


@dataclass(frozen=True, config=STRICT)
class TokenizerConfig:
    """The vocabulary that text is counted in."""

    kind: Literal["sentencepiece", "byte_level_bpe", "hugging_face"] = setting(
        "sentencepiece",
        "Kind of tokenizer: T5's, or that of GPT-2, RoBERTa and BART; 'hugging_face' is one "
        "of a checkpoint's tokenizer.json and cannot be trained.",
    )
    vocab_size: int = setting(4000, "Most pieces a new vocabulary may have.", le=256_000)
    pinned: str = setting(
        "",
        "Folder of a tokenizer to reuse, or of a model that has one; 'champion' is the model "
        "registry's; empty trains one on the train split.",
    )

    @model_validator(mode="after")
    def _the_vocabulary_has_room(self) -> TokenizerConfig:
        least = _SMALLEST_VOCABULARY.get(self.kind, 1)
        if self.vocab_size < least:
            raise ValueError(
                f"vocab_size has no room for the 256 bytes and the special ids of a "
                f"{self.kind} vocabulary. Expected: {least} or more. Received: "
                f"{self.vocab_size}"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """The summariser's architecture and limits."""

    init_from: str = setting(
        "",
        "Folder of a pretrained model: Hugging Face (T5 or BART), keras-hub preset, or a "
        "version that was pushed; 'champion' is the model registry's, once there is one. "
        "Family, sizes and tokenizer are then the checkpoint's and need not be set. Empty "
        "starts from random weights.",
    )
    family: Literal["t5", "bart", "pegasus"] = setting("t5", "Model family.")
    d_model: int = setting(128, "Width of the hidden states.", ge=8, le=8192)
    d_ff: int = setting(512, "Width of the feed-forward layers.", ge=8, le=65_536)
    num_layers: int = setting(2, "Layers of the encoder.", ge=1, le=64)
    num_decoder_layers: int = setting(
        0, "Layers of the decoder; 0 for as many as the encoder has.", ge=0, le=64
    )
    num_heads: int = setting(4, "Attention heads; must divide d_model.", ge=1, le=128)
    dropout: float = setting(0.0, "Dropout rate in training.", ge=0, lt=1)
    max_input_tokens: int = setting(
        64,
        "Ids of the caller's text that the encoder reads; the rest is cut off.",
        ge=1,
        le=8192,
    )
    max_output_tokens: int = setting(20, "Most decoder steps for one summary.", ge=1, le=4096)
    task_prefix: str = setting("", "Text put before every document, never counted.")
    no_repeat_ngram_size: int = setting(
        0,
        "A sequence of so many ids is never written twice in one summary; 0 allows it.",
        ge=0,
        le=64,
    )
    min_output_tokens: int = setting(
        0, "Decoder steps at least before a summary may end; 0 for none.", ge=0, le=4096
    )
    repetition_penalty: float = setting(
        1.0,
        "Ids that were written become less likely by this factor; 1 changes nothing.",
        gt=0,
        le=100,
    )
    banned_ids: tuple[tuple[int, ...], ...] = setting(
        (), "Ids, and sequences of ids, that are never written: [[5], [7, 9]]."
    )
    force_eos: bool = setting(
        False,
        "Behind max_output_tokens ids EOS is decoded in any case, as by BART's "
        "forced_eos_token_id, which decides between beams. It is not counted.",
    )
    num_beams: int = setting(
        1, "Sequences that decoding follows at a time; 1 is greedy.", ge=1, le=32
    )
    length_penalty: float = setting(
        1.0,
        "Of beam search: above 0 favours long summaries, below 0 short ones.",
        ge=-10,
        le=10,
    )
    early_stopping: bool = setting(
        False, "Of beam search: stop as soon as num_beams summaries are finished."
    )

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> ModelConfig:
        # A checkpoint's heads may be of any width.
        if not self.init_from and self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads must divide d_model. Received: num_heads = {self.num_heads}, "
                f"d_model = {self.d_model}"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class ExportConfig:
    """How a trained model is written."""

    xla: bool = setting(
        False,
        "Compile decoding with XLA. A stock model server refuses such a model; one that is "
        "started with --xla_cpu_compilation_enabled=true compiles it for each batch size.",
    )


@dataclass(frozen=True, config=STRICT)
class MeterConfig:
    """What the metered model is held to before it may be pushed."""

    warmup_documents: int = setting(
        4, "Held-out documents written into the warm-up requests.", ge=1, le=100
    )
    validate_documents: int = setting(
        64, "Held-out documents whose counts and answers are checked.", ge=1
    )
    validate_strings: int = setting(10_000, "Generated strings whose counts are checked.", ge=0)


@dataclass(frozen=True, config=STRICT)
class ServingConfig:
    """What is pushed, and how it is tried before."""

    model_name: str = setting(
        "summarizer", "Name of the served model.", pattern=r"^[A-Za-z0-9_.-]{1,100}$"
    )
    validate_engine: Literal["auto", "local", "binary", "docker"] = setting(
        "auto", "Server that ServingValidator starts; 'auto' takes a real one if present."
    )
    validate_binary: str = setting(
        "", "Path of the tensorflow_model_server that it starts; empty looks on PATH."
    )
    validate_image: str = setting(
        "tensorflow/serving", "Docker image of TensorFlow Serving that it starts."
    )
    keep_versions: int = setting(
        0,
        "After a push, pushed versions without a label that stay on disk; 0 for all.",
        ge=0,
    )
    validate_timeout_s: int = setting(
        120, "Longest wait for the server to become AVAILABLE, in seconds.", ge=1, le=3600
    )


@dataclass(frozen=True, config=STRICT)
class RegistryConfig:
    """The model registry, and what makes a blessed model the champion."""

    uri: str = setting(
        "",
        "sqlite:///path of a file, or http(s):// address of an MLflow server; empty is the "
        "file registry.sqlite in the output folder.",
        pattern=r"^(sqlite:///.+|https?://.+)?$",
    )
    metric: str = setting(
        "rouge_l_f1",
        "Metric of the evaluation in which a model must beat the champion, on the same test "
        "set; more is better.",
        pattern=r"^[a-z0-9_]+$",
    )
    min_gain: float = setting(
        0.0,
        "It must be above the champion's by more than this; negative lets a model pass that is "
        "a little worse, but newer.",
        ge=-1,
        le=1,
    )
    approval: Literal["auto", "manual"] = setting(
        "auto",
        "'manual' leaves a better model waiting until `tallygraph registry promote`.",
    )
    allow_tokenizer: str = setting(
        "",
        "Fingerprint of a tokenizer that may replace the champion's, or 'any'. Empty refuses "
        "another one: the same text would have another price.",
        pattern=r"^(any|[0-9a-f]{64})?$",
    )
    allow_contract: str = setting(
        "",
        "Version of the counting contract that may replace the champion's, or 'any'. Empty "
        "refuses another one.",
        pattern=r"^(any|[0-9]+)?$",
    )


@dataclass(frozen=True, config=STRICT)
class PipelineSection:
    """The pipeline itself."""

    name: str = setting(
        "tallygraph",
        "Name of the pipeline; runs of one name share cached results.",
        pattern=r"^[a-z][a-z0-9-]{0,62}$",
    )
    beam_args: tuple[str, ...] = setting(
        (), "Further Beam options, for example a distributed runner's."
    )
