"""A Hugging Face folder's decoding settings, which are taken over unless a setting says
otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pipelines.config_sections import ModelConfig

# Settings of [model] that say how a model is decoded.
DECODING_SETTINGS: Final = (
    "num_beams",
    "length_penalty",
    "early_stopping",
    "no_repeat_ngram_size",
    "repetition_penalty",
    "banned_ids",
    "min_output_tokens",
    "max_output_tokens",
    "force_eos",
)
# In generation_config.json and without a part in decoding here, or read elsewhere.
_NO_PART: Final = frozenset(
    (
        "_from_model_config",
        "transformers_version",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "return_dict_in_generate",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "output_logits",
        "return_legacy_cache",
        "bos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
        "forced_bos_token_id",
        "is_assistant",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
        "compile_config",
        "disable_compile",
        "low_memory",
        "remove_invalid_values",
        "max_time",
        "trust_remote_code",
    )
)
# What has no effect unless ids are drawn at random.
_OF_SAMPLING: Final = frozenset(
    (
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "top_h",
    )
)
# Values that mean "off" for what is not supported.
_OFF: Final[Mapping[str, Any]] = {
    "do_sample": False,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
    "renormalize_logits": False,
    "token_healing": False,
}
_SUPPORTED: Final = (
    "num_beams",
    "length_penalty",
    "early_stopping",
    "no_repeat_ngram_size",
    "repetition_penalty",
    "bad_words_ids",
    "min_length",
    "min_new_tokens",
    "max_length",
    "max_new_tokens",
    "forced_eos_token_id",
    "eos_token_id",
)


@dataclass(frozen=True, slots=True)
class Generation:
    """A checkpoint's own decoding settings.

    Attributes:
      settings: values for a config's ``[model]``, by name.
      origins: for each of them, what it was read from: ``min_length = 56``.
      unsupported: settings that are not supported here, by transformers' names.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodingNote:
    """One line that says whether one of a checkpoint's decoding settings is followed.

    Attributes:
      setting: name in ``[model]``; empty if it is not supported.
      theirs: the checkpoint's setting, by its own name.
      ours: the setting's value in the run.
    """

    status: Literal["taken over", "overridden", "not supported"]
    setting: str
    theirs: str
    ours: Any = None

    def __str__(self) -> str:
        if self.status == "not supported":
            return f"{self.theirs}: not supported, so it has no effect"
        if self.status == "overridden":
            return f"{self.theirs}: overridden by model.{self.setting} = {_toml(self.ours)}"
        return f"{self.theirs}: taken over as model.{self.setting} = {_toml(self.ours)}"


def read_generation(
    settings: Mapping[str, Any],
    generation: Mapping[str, Any] | None,
    *,
    eos_id: int,
    forced_bos: bool,
) -> Generation:
    """Read a folder's decoding settings.

    Args:
      settings: content of ``config.json``, where older folders have them.
      generation: content of ``generation_config.json``; if there is one, only this file counts,
        as in transformers; None if there is none.
      eos_id: the model's.
      forced_bos: whether the decoder's first id is forced; it does not count as a step here.
    """
    if generation is None:
        known = (*_SUPPORTED, *_OF_SAMPLING, *_OFF)
        said = {name: settings[name] for name in known if settings.get(name) is not None}
    else:
        said = {name: value for name, value in generation.items() if value is not None}
    unsupported = _unsupported(said, eos_id)
    if special := (settings.get("task_specific_params") or {}).get("summarization"):
        unsupported["task_specific_params.summarization"] = special
    taken: dict[str, Any] = {}
    origins: dict[str, str] = {}
    forced_eos = "forced_eos_token_id" in said and "forced_eos_token_id" not in unsupported
    conversions = _conversions(eos_id, int(forced_bos), int(forced_eos))
    for setting, names, convert in conversions:
        own = {name: said[name] for name in names if name in said and name not in unsupported}
        value = convert(own) if own else None
        if value is not None:
            taken[setting] = value
            origins[setting] = ", ".join(f"{name} = {_toml(own[name])}" for name in own)
    return Generation(taken, origins, unsupported)


def kept_generation(values: Mapping[str, Any]) -> Generation:
    """How a model of this pipeline was decoded, as its version keeps it.

    What is as the settings are by default needs no taking over.
    """
    default = ModelConfig()
    own = {
        name: tuple(map(tuple, values[name])) if name == "banned_ids" else values[name]
        for name in DECODING_SETTINGS
        if name in values and not _same(getattr(default, name), values[name])
    }
    origins = {name: f"the version's {name} = {_toml(value)}" for name, value in own.items()}
    return Generation(own, origins)


def decoding_notes(generation: Generation, model: Mapping[str, Any]) -> list[DecodingNote]:
    """Describe how a run follows a checkpoint's decoding settings.

    Args:
      generation: the checkpoint's.
      model: the run's ``[model]`` section.
    """
    notes = [
        DecodingNote(
            "taken over" if _same(model[name], value) else "overridden",
            name,
            generation.origins[name],
            model[name],
        )
        for name, value in generation.settings.items()
    ]
    return notes + [
        DecodingNote("not supported", "", f"{name} = {_toml(value)}")
        for name, value in generation.unsupported.items()
    ]


_Conversion = tuple[str, tuple[str, ...], Callable[[Mapping[str, Any]], Any]]


def _conversions(eos_id: int, forced_bos: int, forced_eos: int) -> list[_Conversion]:
    """Our setting, transformers' names for it, and how it follows from them."""

    def shortest(own: Mapping[str, Any]) -> int | None:
        # transformers counts the decoder's start in lengths, and what is forced everywhere.
        by_length = own.get("min_length", 0) - 1 - forced_bos
        return max(by_length, own.get("min_new_tokens", 0) - forced_bos, 0) or None

    def longest(own: Mapping[str, Any]) -> int:
        forced = forced_bos + forced_eos
        if "max_new_tokens" in own:
            return int(own["max_new_tokens"]) - forced
        return int(own["max_length"]) - 1 - forced

    def banned(own: Mapping[str, Any]) -> tuple[tuple[int, ...], ...] | None:
        words = (tuple(each) for each in own["bad_words_ids"])
        return tuple(each for each in words if each != (eos_id,)) or None

    def as_it_is(own: Mapping[str, Any]) -> Any:
        return next(iter(own.values()))

    same = ("num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size")
    return [
        *((name, (name,), as_it_is) for name in same),
        ("repetition_penalty", ("repetition_penalty",), as_it_is),
        ("banned_ids", ("bad_words_ids",), banned),
        ("min_output_tokens", ("min_length", "min_new_tokens"), shortest),
        ("max_output_tokens", ("max_new_tokens", "max_length"), longest),
        ("force_eos", ("forced_eos_token_id",), lambda _: True),
    ]


def _unsupported(said: Mapping[str, Any], eos_id: int) -> dict[str, Any]:
    found = {
        name: value
        for name, value in said.items()
        if name not in _NO_PART
        and name not in _SUPPORTED
        and (name not in _OF_SAMPLING or said.get("do_sample"))
        and not (name in _OFF and value == _OFF[name])
    }
    if said.get("early_stopping", False) not in (True, False):
        found["early_stopping"] = said["early_stopping"]
    for name in ("forced_eos_token_id", "eos_token_id"):
        if name in said and said[name] not in (eos_id, [eos_id]):
            found[name] = said[name]
    return found


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, tuple | list):
        return tuple(map(tuple, ours)) == tuple(map(tuple, theirs))
    return bool(ours == theirs)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
