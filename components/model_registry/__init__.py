"""The model registry: its interface (`port`), and an implementation with MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from components.model_registry.port import ModelRegistry, RegistryError

_SQLITE: Final = "sqlite:///"


def open_registry(uri: str) -> ModelRegistry:
    """Open a registry.

    Args:
      uri: ``sqlite:///path/of/a.file``, created if missing, or the ``http://`` or ``https://``
        URL of an MLflow tracking server, whose credentials come from MLflow's own environment
        variables.

    Raises:
      RegistryError: it is none of these, or cannot be opened.
    """
    # MLflow takes seconds to import.
    from components.model_registry.mlflow_registry import MlflowRegistry

    if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
        return MlflowRegistry.of_file(Path(uri.removeprefix(_SQLITE)))
    if uri.startswith(("http://", "https://")):
        return MlflowRegistry.of_server(uri)
    raise RegistryError(
        "The URI of a model registry is not valid. Expected: sqlite:///path/of/a.file, or "
        f"the http:// or https:// URL of an MLflow server. Received: {uri!r}"
    )


__all__ = ["ModelRegistry", "RegistryError", "open_registry"]
