"""Reads a compiled pipeline's name and parameters, without TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


class CompiledPipelineError(ValueError):
    """The file is not a compiled pipeline, or a run's parameters do not match it."""


@dataclass(frozen=True)
class CompiledPipeline:
    """Name and parameters of a compiled pipeline; a parameter with the default None is
    required."""

    name: str
    defaults: Mapping[str, str | None]

    def check_parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """Refuse parameters that the server would refuse, before anything is uploaded.

        Raises:
          CompiledPipelineError: a parameter is unknown, or missing.
        """
        unknown = sorted(set(given) - set(self.defaults))
        missing = sorted(
            name for name, value in self.defaults.items() if value is None and name not in given
        )
        problems = [f"no such parameter: {name}" for name in unknown]
        problems += [f"this parameter is required: {name}" for name in missing]
        if problems:
            raise CompiledPipelineError(
                f"the run's parameters cannot be used: {'; '.join(problems)}. Expected: some "
                f"of {', '.join(sorted(self.defaults))}, as --parameter name=value"
            )
        return dict(given)


def read_compiled(file: Path) -> CompiledPipeline:
    """Read the first document of a file written by `tallygraph kfp compile`.

    Raises:
      CompiledPipelineError: it is not such a file.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            spec = next(iter(yaml.safe_load_all(stream)))
        parameters = spec["root"]["inputDefinitions"]["parameters"]
        return CompiledPipeline(
            name=spec["pipelineInfo"]["name"],
            defaults={
                name: declared.get("defaultValue") for name, declared in parameters.items()
            },
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, StopIteration, KeyError, TypeError):
        raise CompiledPipelineError(
            f"{file} is not a compiled pipeline. Expected: a file written by `tallygraph "
            "kfp compile`."
        ) from None
