"""What a compiled pipeline says of itself, without TFX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


class CompiledPipelineError(ValueError):
    """The file is no compiled pipeline, or a run's parameters are not its own."""


@dataclass(frozen=True)
class CompiledPipeline:
    """Name and parameters of a compiled pipeline; a default of None has to be given."""

    name: str
    defaults: Mapping[str, str | None]

    def check_parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """Refuse what the server would refuse, before anything is uploaded.

        Raises:
          CompiledPipelineError: a parameter is unknown, or missing.
        """
        unknown = sorted(set(given) - set(self.defaults))
        missing = sorted(
            name for name, value in self.defaults.items() if value is None and name not in given
        )
        problems = [f"no such parameter: {name}" for name in unknown]
        problems += [f"has to be given: {name}" for name in missing]
        if problems:
            raise CompiledPipelineError(
                f"the run's parameters cannot be used: {'; '.join(problems)}. Expected: some "
                f"of {', '.join(sorted(self.defaults))}, as --parameter name=value"
            )
        return dict(given)


def read_compiled(file: Path) -> CompiledPipeline:
    """Read the first document of what `tallygraph kfp compile` wrote.

    Raises:
      CompiledPipelineError: it is something else.
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
            f"{file} is no compiled pipeline. Expected: what `tallygraph kfp compile` writes."
        ) from None
