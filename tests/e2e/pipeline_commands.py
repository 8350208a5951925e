"""The command line as a user has it: run a pipeline, serve what it pushed, ask."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.warm_process import run_tallygraph

CONFIGS = Path(__file__).parents[2] / "configs"
TALLYGRAPH = Path(sys.executable).parent / "tallygraph"


def run_command(config: Path, corpus: Path, output: Path, *arguments: str) -> list[str]:
    return [
        str(TALLYGRAPH),
        "run",
        f"--config={config}",
        f"--corpus={corpus}",
        f"--output={output}",
        *arguments,
    ]


def run(
    config: Path, corpus: Path, output: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The command to its end, with TFX imported already (see `warm_process`)."""
    return run_tallygraph(*run_command(config, corpus, output, *arguments)[1:])


def nodes_of(printed: str) -> dict[str, str]:
    """What the command said of each node: `done` or `cached`."""
    found: dict[str, str] = {}
    node = ""
    for line in printed.splitlines():
        if match := re.match(r"\[ *\d+/\d+\] (\w+)", line):
            node = match[1]
        elif match := re.match(r" +(done|cached) [\d.]+ s", line):
            found[node] = match[1]
    return found


def versions_in(output: Path) -> list[Path]:
    return sorted((output / "serving" / "summarizer").glob("[0-9]*"))


@contextlib.contextmanager
def serving(output: Path) -> Iterator[dict[str, str]]:
    """`tallygraph serve` on what was pushed; its addresses by `REST` and `gRPC`."""
    process = subprocess.Popen(
        [
            str(TALLYGRAPH),
            "serve",
            f"--model-dir={output / 'serving' / 'summarizer'}",
            "--engine=local",
            "--rest-port=0",
            "--grpc-port=0",
            f"--log-file={output / 'logs' / 'server.log'}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    addresses: dict[str, str] = {}
    printed: list[str] = []
    while "log" not in addresses:
        line = process.stdout.readline()
        assert line, f"the server ended: {''.join(printed)}"
        printed.append(line)
        if match := re.match(r"  (REST|gRPC|log) +(\S+)", line):
            addresses[match[1]] = match[2]
    yield addresses
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def checked_answer(
    server: dict[str, str], protocol: str, version: Path, text: str
) -> dict[str, Any]:
    """The answer of `tallygraph summarize --check`, which must find the counts right."""
    check = f"--check={version}"
    if protocol == "gRPC":  # its messages bring TensorFlow
        answered = run_tallygraph("summarize", text, f"--grpc={server['gRPC']}", check)
    else:
        answered = subprocess.run(
            [TALLYGRAPH, "summarize", "-", f"--url={server['REST'].split('/v1/')[0]}", check],
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert "counts verified" in answered.stdout
    assert answered.stderr == ""
    answer: dict[str, Any] = json.JSONDecoder().raw_decode(answered.stdout)[0]
    return answer


def assert_counts(answer: dict[str, Any], ids: list[int], max_input_tokens: int) -> None:
    """Hold an answer to the ids that the tokenizer's own library gives its text."""
    assert answer["input_tokens"] == min(len(ids), max_input_tokens)
    assert answer["truncated_tokens"] == len(ids) - answer["input_tokens"]
    assert answer["total_tokens"] == answer["input_tokens"] + answer["output_tokens"]
    assert answer["finish_reason"] in ("stop", "length")
