"""LiteLLM's proxy, set up for speed as its documentation advises for production."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from benchmarks.gateway.stub_answers import MODEL
from benchmarks.peers import GATEWAYS

KEY: Final = "sk-benchmark"
ENVIRONMENT: Final = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    # Else it fetches its price list from the internet.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
READY_PATH: Final = "/health/liveliness"


def version(python: Path) -> str:
    """LiteLLM's release, with that of Python.

    Raises:
      SystemExit: there is no such environment.
    """
    code = "import platform, importlib.metadata as m; print(m.version('litellm'), "
    code += "'on Python', platform.python_version())"
    try:
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{python} cannot be used: {error}. {GATEWAYS.expected}") from None
    return told.stdout.strip()


def write_config(path: Path, stub_port: int) -> Path:
    """The proxy's settings: the stub, one key, nothing that is not needed."""
    path.write_text(
        f"""model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: http://127.0.0.1:{stub_port}/v1
      api_key: none
general_settings:
  master_key: {KEY}
litellm_settings:
  set_verbose: false
  telemetry: false
"""
    )
    return path


def command(python: Path, config: Path, port: int) -> list[str | Path]:
    return [
        python.absolute().with_name("litellm"),
        *("--config", config, "--host", "127.0.0.1", "--port", str(port)),
        *("--num_workers", "1", "--telemetry", "False"),
    ]
