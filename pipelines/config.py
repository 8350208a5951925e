"""The pipeline's settings: one TOML file read into frozen dataclasses.

Every section of the file is a class and every setting a field with a description, from which
`tallygraph config` prints the reference. A setting that is unknown, of the wrong type or out of
bounds is refused, and the message names it; all errors are reported at once.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipelines.config_sections import (
    CHAMPION,
    CorpusConfig,
    ExportConfig,
    MeterConfig,
    ModelConfig,
    PipelineSection,
    RegistryConfig,
    ServingConfig,
    TokenizerConfig,
)
from pipelines.drift.config import DriftConfig
from pipelines.evaluation.config import EvaluationConfig
from pipelines.kubeflow_section import KubeflowConfig
from pipelines.models.architecture import LONGEST_IN_INT8
from pipelines.setting import STRICT
from pipelines.training.settings import TrainingSettings


class ConfigError(ValueError):
    """Settings that cannot be used. The message lists every one of them."""


@dataclass(frozen=True, config=STRICT)
class PipelineConfig:
    """All settings of a run."""

    pipeline: PipelineSection = Field(default_factory=PipelineSection)
    corpus: CorpusConfig = Field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    export: ExportConfig = Field(default_factory=ExportConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    meter: MeterConfig = Field(default_factory=MeterConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)
    registry: RegistryConfig = Field(default_factory=RegistryConfig)
    drift: DriftConfig = Field(default_factory=DriftConfig)

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
        if self.training.start_copying and self.model.init_from not in ("", CHAMPION):
            raise ValueError(
                "training.start_copying is only for a model that is trained from scratch. "
                "Expected: either training.start_copying or model.init_from. Received: "
                f"both, init_from = {self.model.init_from!r}"
            )
        return self

    @model_validator(mode="after")
    def _lora_has_weights_to_start_from(self) -> PipelineConfig:
        if self.training.lora_rank and not self.model.init_from:
            raise ValueError(
                "training.lora_rank needs a checkpoint to start from, because it trains "
                "only what is added to that. Expected: model.init_from, or lora_rank = 0. "
                f"Received: lora_rank = {self.training.lora_rank}, init_from = ''"
            )
        return self

    @model_validator(mode="after")
    def _int8_sums_are_exact(self) -> PipelineConfig:
        # Found now rather than after training. How long the task prefix is, Exporter knows.
        most = LONGEST_IN_INT8 - 1
        if self.export.weights == "int8" and self.model.max_input_tokens > most:
            raise ValueError(
                f"export.weights = 'int8' reads at most {most} ids and EOS, with which the "
                f"sums of its attention are exact. Expected: model.max_input_tokens = {most} "
                "or less, or export.weights = 'float32'. Received: model.max_input_tokens = "
                f"{self.model.max_input_tokens}"
            )
        return self

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_ADAPTER: TypeAdapter[PipelineConfig] = TypeAdapter(PipelineConfig)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a TOML file and apply overrides.

    Args:
      path: the TOML file.
      overrides: settings as ``section.key=value``; the value is read as TOML or, if it is not
        valid TOML, as a string.

    Raises:
      ConfigError: the file cannot be read or is not valid TOML, or settings cannot be used. The
        message names every such setting, what it must be and what was received.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist. Expected: a TOML file, such as configs/quickstart.toml."
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

    If they name a checkpoint, it is opened, and the result contains its sizes.
    """
    try:
        config = _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        lines = [f"  {_describe(problem)}" for problem in error.errors()]
        raise ConfigError(
            f"{origin}: {len(lines)} setting(s) cannot be used:\n" + "\n".join(lines)
        ) from None
    if config.model.init_from in ("", CHAMPION):
        return config
    return _with_checkpoint(config, values, origin)


def _with_checkpoint(
    config: PipelineConfig, values: Mapping[str, Any], origin: str
) -> PipelineConfig:
    from pipelines.checkpoints.description import CheckpointError
    from pipelines.checkpoints.settings import with_checkpoint
    from pipelines.models.architecture import ArchitectureError

    try:
        model, tokenizer = with_checkpoint(config.model, config.tokenizer, values)
    except (CheckpointError, ArchitectureError) as error:
        raise ConfigError(f"{origin}: model.init_from cannot be used: {error}") from None
    return replace(config, model=model, tokenizer=tokenizer)


def _describe(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        meant = _meant(name)
        return f"{name}: no such setting.{meant} `tallygraph config --reference` lists them."
    message = problem["msg"].removeprefix("Value error, ")
    received = problem["input"]
    if problem["type"] == "value_error":
        return f"{name}: {message}" if name else message
    return f"{name}: {message}. Received: {received!r}"


def _meant(name: str) -> str:
    """The setting of nearly this name, or of this name in another section."""
    names = [known for known, *_ in setting_reference()]
    section, _, key = name.rpartition(".")
    if not section:
        names = sorted({known.partition(".")[0] for known in names})
    near = [known for known in names if known.rpartition(".")[2] == key]
    near = near or difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {' or '.join(near)}?" if near else ""


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
    """List every setting as (name, type, default, meaning), in the order of the file."""
    schema = _ADAPTER.json_schema()
    rows = []
    for section, field in schema["properties"].items():
        rows += _settings_of(section, field, schema["$defs"])
    return rows


def _settings_of(
    name: str, field: Mapping[str, Any], definitions: Mapping[str, Any]
) -> list[tuple[str, str, str, str]]:
    """The settings below a section, or below a setting that has some of its own."""
    rows = []
    for key, inner in definitions[_definition(field)]["properties"].items():
        path = f"{name}.{key}"
        if "$ref" not in inner:
            rows.append((path, _kind(inner), _default(inner), inner.get("description", "")))
        # A table, or a list of tables: which keys there are in one.
        below = inner.get("items", inner)
        if "$ref" in below:
            rows += _settings_of(
                f"{path}[]" if below is not inner else path, below, definitions
            )
    return rows


def _definition(field: Mapping[str, Any]) -> str:
    name: str = field["$ref"].rsplit("/", 1)[1]
    return name


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(repr, field["enum"]))
    if "anyOf" in field:
        return " | ".join(each["type"] for each in field["anyOf"])
    return str(field.get("type", ""))


def _default(field: Mapping[str, Any]) -> str:
    empty = {"object": "{}", "array": "[]"}.get(field.get("type", ""), "required")
    return repr(field["default"]) if "default" in field else empty
