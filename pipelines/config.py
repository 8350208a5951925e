"""The pipeline's settings: one TOML file read into frozen dataclasses.

Every section of the file is a class here and every setting a field with its meaning, so
`tallygraph config` can print the reference from this module. A setting that is unknown,
of the wrong type or out of bounds is refused by name; all errors are reported at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipelines.evaluation.config import EvaluationConfig
from pipelines.setting import STRICT, setting
from pipelines.training.settings import TrainingSettings


class ConfigError(ValueError):
    """Settings that cannot be used. The message lists every one of them."""


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """Where (document, summary) pairs come from."""

    path: str = setting("", "File, folder or glob of the corpus; --corpus overrides it.")
    format: Literal["auto", "jsonl", "csv", "parquet", "tfrecord"] = setting(
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


# A SentencePiece vocabulary also needs the corpus's own characters, at least so many; how
# many more, training says.
_SMALLEST_VOCABULARY: Final = {"sentencepiece": 300, "byte_level_bpe": 260}


@dataclass(frozen=True, config=STRICT)
class TokenizerConfig:
    """The vocabulary that text is counted in."""

    kind: Literal["sentencepiece", "byte_level_bpe"] = setting(
        "sentencepiece", "Kind of tokenizer: T5's, or that of GPT-2, RoBERTa and BART."
    )
    vocab_size: int = setting(4000, "Most pieces a new vocabulary may have.", le=256_000)
    pinned: str = setting(
        "",
        "Folder of a tokenizer to reuse, or of a model that has one; empty trains one on the "
        "train split.",
    )

    @model_validator(mode="after")
    def _the_vocabulary_has_room(self) -> TokenizerConfig:
        least = _SMALLEST_VOCABULARY[self.kind]
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
        "version that was pushed. Family, sizes and tokenizer are then the checkpoint's and "
        "need not be set. Empty starts from random weights.",
    )
    family: Literal["t5", "bart"] = setting("t5", "Model family.")
    d_model: int = setting(128, "Width of the hidden states.", ge=8, le=8192)
    d_ff: int = setting(512, "Width of the feed-forward layers.", ge=8, le=65_536)
    num_layers: int = setting(2, "Layers of the encoder, and of the decoder.", ge=1, le=64)
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
    validate_engine: Literal["auto", "local", "binary"] = setting(
        "auto", "Server that ServingValidator starts; 'auto' takes a real one if present."
    )
    validate_timeout_s: int = setting(
        120, "Longest wait for the server to become AVAILABLE, in seconds.", ge=1, le=3600
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


@dataclass(frozen=True, config=STRICT)
class PipelineConfig:
    """All settings of a run."""

    pipeline: PipelineSection = Field(default_factory=PipelineSection)
    corpus: CorpusConfig = Field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    meter: MeterConfig = Field(default_factory=MeterConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)

    @model_validator(mode="after")
    def _only_a_t5_starts_copying(self) -> PipelineConfig:
        if self.training.start_copying and self.model.family != "t5":
            raise ValueError(
                'training.start_copying needs model.family = "t5". Received: '
                f"{self.model.family!r}. BART learns to copy with training.lead_steps"
            )
        return self

    @model_validator(mode="after")
    def _a_checkpoint_is_not_overwritten(self) -> PipelineConfig:
        if self.training.start_copying and self.model.init_from:
            raise ValueError(
                "training.start_copying is for a fresh model. Expected: it, or "
                f"model.init_from. Received: both, init_from = {self.model.init_from!r}"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_ADAPTER: TypeAdapter[PipelineConfig] = TypeAdapter(PipelineConfig)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a TOML file and apply overrides.

    Args:
      path: the TOML file.
      overrides: settings as ``section.key=value``; the value is read as TOML and, where
        it is none, as a string.

    Raises:
      ConfigError: the file cannot be read or is no TOML, or settings are not usable. The
        message names every such setting, what it must be and what was received.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist. Expected a TOML file, such as configs/quickstart.toml."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} could not be read as TOML: {error}") from None
    for override in overrides:
        _apply_override(values, override)
    return parse_config(values, origin=str(path))


def parse_config(
    values: Mapping[str, Any], origin: str = "the configuration"
) -> PipelineConfig:
    """Check settings given as nested mappings; see `load_config` for the errors.

    Where they name a checkpoint, it is opened, and its sizes are in the result.
    """
    try:
        config = _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        lines = [f"  {_describe(problem)}" for problem in error.errors()]
        raise ConfigError(
            f"{origin}: {len(lines)} setting(s) cannot be used:\n" + "\n".join(lines)
        ) from None
    return _with_checkpoint(config, values, origin) if config.model.init_from else config


def _with_checkpoint(
    config: PipelineConfig, values: Mapping[str, Any], origin: str
) -> PipelineConfig:
    from pipelines.checkpoints.description import CheckpointError
    from pipelines.checkpoints.settings import with_checkpoint
    from pipelines.models.architecture import ArchitectureError

    try:
        return with_checkpoint(config, values)
    except (CheckpointError, ArchitectureError) as error:
        raise ConfigError(f"{origin}: model.init_from cannot be used: {error}") from None


def _describe(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{name}: no such setting. `tallygraph config --reference` lists them."
    message = problem["msg"].removeprefix("Value error, ")
    received = problem["input"]
    if problem["type"] == "value_error":
        return f"{name}: {message}" if name else message
    return f"{name}: {message}. Received: {received!r}"


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(
            f"--set expects section.key=value, for example training.steps=2000. "
            f"Received: {override!r}"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = values.setdefault(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{section} must be a section of the file. Received: {table!r}")
    table[key] = value


def setting_reference() -> list[tuple[str, str, str, str]]:
    """Every setting as (name, type, default, meaning), in the order of the file."""
    schema = _ADAPTER.json_schema()
    rows = []
    for section, reference in schema["properties"].items():
        definition = schema["$defs"][reference["$ref"].rsplit("/", 1)[1]]
        for key, field in definition["properties"].items():
            kind = (
                " | ".join(map(repr, field["enum"]))
                if "enum" in field
                else field.get("type", "")
            )
            rows.append(
                (
                    f"{section}.{key}",
                    kind,
                    repr(field.get("default")),
                    field.get("description", ""),
                )
            )
    return rows
