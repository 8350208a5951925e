"""What a run was started with, kept for the next one, which says what has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from pipelines.config import PipelineConfig
from pipelines.masking import masked, option_names

_TRAINING: Final = "Trainer"
_MAX_SHOWN: Final = 60
# What only a cluster reads.
_NOT_OF_A_LOCAL_RUN: Final = "kubeflow"


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run as it was started, and how far it came.

    Attributes:
      settings: values as text, by `section.key`; see `shown_settings`.
      nodes: digest of each node's definition, by its id.
      complete: ids of the nodes that are done or came from the cache.
    """

    settings: Mapping[str, str]
    nodes: Mapping[str, str]
    complete: tuple[str, ...] = ()

    def with_complete(self, node_id: str) -> Self:
        """Return the run with one more complete node."""
        return replace(self, complete=(*self.complete, node_id))

    def save(self, file: Path) -> None:
        """Replace the file atomically."""
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """Read what `save` wrote; None if there is no run that can be compared with."""
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                dict(values["settings"]), dict(values["nodes"]), tuple(values["complete"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def shown_settings(config: PipelineConfig, corpus: str, spans: Sequence[int]) -> dict[str, str]:
    """Return the settings of a run as text that may be stored and printed.

    Credentials in URLs and the values of Beam's options are left out: a change of these alone
    is not noticed.

    Args:
      config: all settings.
      corpus: the corpus that is read, which may not be `corpus.path`.
      spans: of it.
    """
    sections = config.as_dict()
    sections["pipeline"]["beam_args"] = option_names(config.pipeline.beam_args)
    sections["corpus"]["path"] = corpus
    sections["corpus"]["spans"] = list(spans)
    return {
        f"{section}.{name}": masked(json.dumps(value, default=str, ensure_ascii=False))
        for section, values in sections.items()
        if section != _NOT_OF_A_LOCAL_RUN
        for name, value in values.items()
    }


def changes_since(
    before: StartedRun, now: StartedRun, upstream: Mapping[str, Sequence[str]]
) -> str:
    """Describe what has changed between two runs, and which nodes that concerns.

    Args:
      before: the last run.
      now: the run that starts.
      upstream: the nodes before each node, by its id, in the order of the pipeline.

    Returns:
      One line. TFX decides as each node starts, by its inputs, too: a corpus that has changed
      in place is not in it.
    """
    settings = _changed_settings(before.settings, now.settings)
    defined_anew = {
        name for name, digest in now.nodes.items() if before.nodes.get(name) != digest
    }
    affected = _with_followers(defined_anew, upstream)
    # Those that do not follow another one anyway.
    roots = [
        name for name in upstream if name in defined_anew and not affected & set(upstream[name])
    ]
    if not settings and not roots:
        return "settings and code are those of the last run"
    what = ", ".join(settings) or "no setting, but code or files"
    if not roots:
        return f"changed since the last run: {what}: no node reads that"
    trained = _TRAINING in before.complete and _TRAINING not in affected
    return (
        f"changed since the last run: {what}: {_listed(roots)} and what follows "
        f"{'it' if len(roots) == 1 else 'them'} run again, unless an earlier run was the same"
        f"{'; training stays cached' if trained else ''}"
    )


def _changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {_short(before.get(name, 'not set'))} -> {_short(now.get(name, 'not set'))}"
        for name in dict.fromkeys((*now, *before))
        if before.get(name) != now.get(name)
    ]


def _with_followers(names: set[str], upstream: Mapping[str, Sequence[str]]) -> set[str]:
    found = set(names)
    for name, sources in upstream.items():
        if found & set(sources):
            found.add(name)
    return found


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _short(value: Any) -> str:
    return value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
