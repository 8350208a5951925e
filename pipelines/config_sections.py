"""The sections of a settings file, one class for each; `pipelines.config` reads the file."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from pipelines.setting import STRICT, setting
from tokenizer.sampling import MAX_SENTENCES


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """Where (document, summary) pairs come from."""

    path: str = setting("", "File, folder or glob of the corpus; --corpus overrides it.")
    format: Literal["auto", "jsonl", "json", "csv", "parquet", "arrow", "tfrecord"] = setting(
        "auto", "Format of the files; 'auto' determines it from their names."
    )
    document_field: str = setting("document", "Field or column of the text.", min_length=1)
    summary_field: str = setting("summary", "Field or column of the summary.", min_length=1)
    max_document_bytes: int = setting(
        100_000,
        "Maximum length of a document, in bytes of UTF-8; longer ones are rejected.",
        gt=0,
    )
    max_summary_bytes: int = setting(
        10_000,
        "Maximum length of a summary, in bytes of UTF-8; longer ones are rejected.",
        gt=0,
    )
    eval_fraction: float = setting(
        0.05,
        "Share of the documents that is held out if the corpus does not define its own splits.",
        gt=0,
        lt=1,
    )
    test_path: str = setting(
        "",
        "File, folder or glob of a frozen test set, which does not change when new spans "
        "arrive. The thresholds and the lead over the champion are then measured on it, "
        "and the spans' held-out documents are reported beside it. Empty: the held-out "
        "documents are used for both.",
    )


CHAMPION: Final = "champion"
"""Stands for the folder of the model registry's champion, which is looked up when a run
starts."""

# A SentencePiece vocabulary also needs the corpus's own characters, at least so many; how
# many more, training says.
_SMALLEST_VOCABULARY: Final = {"sentencepiece": 300, "byte_level_bpe": 260}


@dataclass(frozen=True, config=STRICT)
class TokenizerConfig:
    """The tokenizer, whose tokens are counted."""

    kind: Literal["sentencepiece", "byte_level_bpe", "hugging_face"] = setting(
        "sentencepiece",
        "Kind of tokenizer: 'sentencepiece' as in T5, or 'byte_level_bpe' as in GPT-2, "
        "RoBERTa and BART. 'hugging_face' comes from a checkpoint's tokenizer.json and "
        "cannot be trained.",
    )
    vocab_size: int = setting(
        4000, "Maximum number of pieces in a newly trained vocabulary.", le=256_000
    )
    max_sentences: int = setting(
        MAX_SENTENCES,
        "Maximum number of sentences that a vocabulary is trained on; of a larger train split, "
        "a sample is taken that depends only on the texts. A sentence is a text of at most "
        "1,024 characters or such a part of a longer one; for 'byte_level_bpe', a whole "
        "document or summary. Time and memory of training grow with it: 200,000 sentences "
        "took 165 seconds and 3.1 GB. Rare words are missing from a small sample.",
        ge=1,
    )
    pinned: str = setting(
        "",
        "Folder of a tokenizer to reuse, or of a model that contains one; 'champion' uses "
        "the tokenizer of the model registry's champion. Empty: a tokenizer is trained on "
        "the train split.",
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
        "pushed version; 'champion' uses the model registry's champion, once there is one. "
        "Family, sizes and tokenizer then come from the checkpoint and need not be set. "
        "Empty: training starts from random weights.",
    )
    family: Literal["t5", "bart", "pegasus"] = setting("t5", "Model family.")
    d_model: int = setting(128, "Width of the hidden states.", ge=8, le=8192)
    d_ff: int = setting(512, "Width of the feed-forward layers.", ge=8, le=65_536)
    num_layers: int = setting(2, "Layers of the encoder.", ge=1, le=64)
    num_decoder_layers: int = setting(
        0, "Layers of the decoder; 0: as many as in the encoder.", ge=0, le=64
    )
    num_heads: int = setting(4, "Attention heads; must divide d_model.", ge=1, le=128)
    dropout: float = setting(0.0, "Dropout rate in training.", ge=0, lt=1)
    max_input_tokens: int = setting(
        64,
        "Maximum number of ids of the caller's text that the encoder reads; the rest is "
        "cut off.",
        ge=1,
        le=8192,
    )
    max_output_tokens: int = setting(
        20, "Maximum number of decoder steps for one summary.", ge=1, le=4096
    )
    task_prefix: str = setting(
        "", "Text that is put before every document; it is never counted."
    )
    no_repeat_ngram_size: int = setting(
        0,
        "No sequence of this many ids is repeated within a summary; 0: repetition is allowed.",
        ge=0,
        le=64,
    )
    min_output_tokens: int = setting(
        0,
        "Minimum number of decoder steps before a summary may end; 0: no minimum.",
        ge=0,
        le=4096,
    )
    repetition_penalty: float = setting(
        1.0,
        "Ids that were already written become less likely by this factor; 1: no penalty.",
        gt=0,
        le=100,
    )
    banned_ids: tuple[tuple[int, ...], ...] = setting(
        (), "Ids, and sequences of ids, that are never written, such as [[5], [7, 9]]."
    )
    force_eos: bool = setting(
        False,
        "Always decode an EOS after max_output_tokens ids, as BART's forced_eos_token_id "
        "does; this affects the choice between beams. It is not counted.",
    )
    num_beams: int = setting(1, "Number of beams in decoding; 1: greedy decoding.", ge=1, le=32)
    length_penalty: float = setting(
        1.0,
        "For beam search: values above 0 favour long summaries, values below 0 short ones.",
        ge=-10,
        le=10,
    )
    early_stopping: bool = setting(
        False, "For beam search: stop as soon as num_beams summaries are finished."
    )

    @model_validator(mode="after")
    def _decoding_settings_fit_together(self) -> ModelConfig:
        # Found now rather than after training. A checkpoint's own settings may be added yet.
        if self.init_from:
            return self
        if self.min_output_tokens > self.max_output_tokens:
            raise ValueError(
                "min_output_tokens must not exceed max_output_tokens. Received: "
                f"min_output_tokens = {self.min_output_tokens}, max_output_tokens = "
                f"{self.max_output_tokens}"
            )
        if self.no_repeat_ngram_size == 1:
            raise ValueError("no_repeat_ngram_size must be 0 (off) or at least 2. Received: 1")
        return self

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
    """How a trained model is exported."""

    xla: bool = setting(
        False,
        "Compile decoding with XLA. A stock model server refuses such a model; one that is "
        "started with --xla_cpu_compilation_enabled=true, as `tallygraph serve` starts it, "
        "compiles it for each of the shapes below before the version is AVAILABLE.",
    )
    row_buckets: tuple[int, ...] = setting(
        (1, 4, 16),
        "Numbers of rows that are compiled; a batch is padded to the next of them, and more "
        "rows than the last are decoded in turns. Each takes seconds to compile.",
        min_length=1,
        max_length=16,
    )
    width_buckets: tuple[int, ...] = setting(
        (),
        "Widths in ids, task prefix and EOS included, that are compiled for each number of "
        "rows; the longest row's is always one. Empty takes 64, 128, 256 and so on.",
        max_length=16,
    )

    weights: Literal["float32", "int8"] = setting(
        "float32",
        "How the model's matrices are stored. 'int8' makes the exported graph a fifth "
        "as large, and its products faster on CPUs with int8 instructions. It needs XLA: "
        "xla = true. Summaries can differ from those in float32; the report says how much.",
    )
    draft_tokens: int | None = setting(
        None,
        "Most ids that greedy decoding drafts in a step, from what followed a row's last ids "
        "in its text and its output; a step writes as many more ids as were right. Changes no "
        "output, and saves time where outputs copy from the text; 0: none. Not set: 3 for a "
        "model of T5-small's size or more, none for a smaller one, where drafts cost more.",
        ge=0,
        le=16,
    )
    drafted_rows: int = setting(
        1,
        "Most rows that are decoded together with drafts. On CPUs it does not pay for more "
        "than one: a step of several rows costs more with drafts, and they take as many steps "
        "as the slowest of them.",
        ge=0,
    )

    @property
    def quantised(self) -> bool:
        """Whether summaries can differ from those that training's weights write."""
        return self.weights != "float32"

    @model_validator(mode="after")
    def _int8_is_compiled(self) -> ExportConfig:
        if self.weights == "int8" and not self.xla:
            raise ValueError(
                "weights = 'int8' needs xla = true: without XLA, a product of int8 takes "
                "several times as long as one of float32. Expected: xla = true with it, and a "
                "server that is started for XLA; or weights = 'float32'. Received: xla = false"
            )
        return self

    @model_validator(mode="after")
    def _the_buckets_rise(self) -> ExportConfig:
        for name in ("row_buckets", "width_buckets"):
            buckets = list(getattr(self, name))
            if buckets != sorted(set(buckets)) or any(bucket < 1 for bucket in buckets):
                raise ValueError(
                    f"{name} must be numbers above 0 that rise. Received: {buckets}"
                )
        return self


@dataclass(frozen=True, config=STRICT)
class MeterConfig:
    """How the metered model is checked before it may be pushed."""

    warmup_documents: int = setting(
        4, "Maximum number of held-out documents in the warm-up requests.", ge=1, le=100
    )
    warmup_ids: int = setting(
        2_000,
        "Number of ids, times model.num_beams, that all warm-up requests together may decode. "
        "A model whose summaries are long has fewer documents in them, but at least one.",
        ge=1,
    )
    validate_documents: int = setting(
        64, "Number of held-out documents whose counts are checked.", ge=1
    )
    validate_ids: int = setting(
        20_000,
        "Number of ids, times model.num_beams, that the check of summaries may decode. Counts "
        "are checked of all documents and hard texts, summaries of as many as this allows, "
        "but at least two.",
        ge=1,
    )
    validate_strings: int = setting(
        10_000, "Number of generated strings whose counts are checked.", ge=0
    )


@dataclass(frozen=True, config=STRICT)
class ServingConfig:
    """What is pushed, and how it is tested before."""

    model_name: str = setting(
        "summarizer", "Name of the served model.", pattern=r"^[A-Za-z0-9_.-]{1,100}$"
    )
    validate_engine: Literal["auto", "local", "binary", "docker"] = setting(
        "auto",
        "Server that ServingValidator starts; 'auto': TensorFlow Serving if it is "
        "present, else the local server.",
    )
    validate_binary: str = setting(
        "",
        "Path of the tensorflow_model_server that ServingValidator starts; empty: it "
        "is searched on PATH.",
    )
    validate_image: str = setting(
        "tensorflow/serving", "Docker image of TensorFlow Serving that ServingValidator starts."
    )
    keep_versions: int = setting(
        0,
        "Number of pushed versions without a label that stay on disk after a push; 0: all.",
        ge=0,
    )
    validate_timeout_s: int = setting(
        600, "Longest wait until the model is AVAILABLE, in seconds.", ge=1, le=3600
    )


@dataclass(frozen=True, config=STRICT)
class RegistryConfig:
    """The model registry, and what makes a blessed model the champion."""

    uri: str = setting(
        "",
        "sqlite:/// and the path of a file, or the http(s):// URL of an MLflow server; "
        "empty: the file registry.sqlite in the output folder.",
        pattern=r"^(sqlite:///.+|https?://.+)?$",
    )
    metric: str = setting(
        "rouge_l_f1",
        "Metric of the evaluation in which a model must beat the champion, on the same "
        "test set; higher values are better.",
        pattern=r"^[a-z0-9_]+$",
    )
    min_gain: float = setting(
        0.0,
        "The metric must exceed the champion's by more than this; a negative value also "
        "accepts a newer model that is slightly worse.",
        ge=-1,
        le=1,
    )
    approval: Literal["auto", "manual"] = setting(
        "auto",
        "'auto' promotes a better model at once; with 'manual' it waits for `tallygraph "
        "registry promote`.",
    )
    allow_tokenizer: str = setting(
        "",
        "Fingerprint of a tokenizer that may replace the champion's, or 'any'. Empty: a "
        "different tokenizer is refused, because the same text would then cost a different "
        "amount.",
        pattern=r"^(any|[0-9a-f]{64})?$",
    )
    allow_contract: str = setting(
        "",
        "Version of the counting contract that may replace the champion's, or 'any'. "
        "Empty: a different version is refused.",
        pattern=r"^(any|[0-9]+)?$",
    )


@dataclass(frozen=True, config=STRICT)
class PipelineSection:
    """The pipeline itself."""

    name: str = setting(
        "tallygraph",
        "Name of the pipeline; runs with the same name share cached results.",
        pattern=r"^[a-z][a-z0-9-]{0,62}$",
    )
    beam_args: tuple[str, ...] = setting(
        (), "Additional Beam options, for example those of a distributed runner."
    )
