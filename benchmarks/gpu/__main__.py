"""``python -m benchmarks.gpu``: writes docs/benchmarks/gpu.json and gpu.md.

It ends with status 1 and writes nothing where TensorFlow sees no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.command import add_corpus_option
from benchmarks.environment import machine
from benchmarks.gpu.material import prepare
from benchmarks.gpu.page import render
from benchmarks.gpu.plan import CPU, PEERS, Phase, exports, phases
from benchmarks.gpu.summary import summary
from benchmarks.worker import ROOT

_LOOK = Phase("sanity", "sanity", {}, 120)
_SPARE_S = 3.0


class Runner:
    """Runs phases one after the other, within a time for all of them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._begun = time.monotonic()
        self._folder: Path = arguments.output / "logs"
        self._budget_s: float = arguments.budget_s
        self._folder.mkdir(parents=True, exist_ok=True)
        self.results: dict[str, dict[str, Any]] = {}

    def left_s(self) -> float:
        """Seconds that are left for phases."""
        return self._budget_s - (time.monotonic() - self._begun)

    def start(self, phase: Phase) -> subprocess.Popen[bytes]:
        """Start a phase; its output goes into a log of its own."""
        environment = {**os.environ, **phase.environment}
        python = self._arguments.python
        if phase.side == PEERS:
            python = str(self._arguments.peers)
        if phase.side == CPU:
            environment["CUDA_VISIBLE_DEVICES"] = "-1"
        command = [python, "-m", "benchmarks.gpu.child", phase.module]
        command += [json.dumps(phase.arguments), str(self._target(phase).absolute())]
        self._target(phase).unlink(missing_ok=True)
        with self._log(phase).open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(
        self, phase: Phase, process: subprocess.Popen[bytes], since: float
    ) -> dict[str, Any]:
        """Wait for a phase up to its limit, and keep what it reported."""
        error = ""
        try:
            status = process.wait(max(min(phase.limit_s, self.left_s() - _SPARE_S), 1.0))
            error = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            error = "was stopped at its limit"
        target = self._target(phase)
        result = json.loads(target.read_text()) if target.exists() else {}
        result["seconds"] = round(time.monotonic() - since, 1)
        if error:
            tail = self._log(phase).read_text(errors="replace").strip().splitlines()[-3:]
            result["error"] = f"{error}: {' / '.join(tail)}"[-600:]
        self.results[phase.name] = result
        at = time.monotonic() - self._begun
        print(
            f"{at:5.0f} s  {phase.name}: {result['seconds']} s {result.get('error', '')}",
            flush=True,
        )
        return result

    def run(self, phase: Phase) -> dict[str, Any]:
        """Start a phase and wait for it."""
        since = time.monotonic()
        return self.finish(phase, self.start(phase), since)

    def _target(self, phase: Phase) -> Path:
        return self._folder / f"{phase.name.replace(' ', '-').replace(',', '')}.json"

    def _log(self, phase: Phase) -> Path:
        return self._target(phase).with_suffix(".log")


def main() -> None:
    """Measure, and write what was measured after each phase."""
    arguments = _arguments()
    runner = Runner(arguments)
    made = exports(arguments.material, arguments.small)
    prepare(arguments.material, arguments.version, arguments.corpus, arguments.peers)
    wanted = [
        phase
        for phase in phases(arguments.material, arguments.small)
        if not arguments.only or phase.name.startswith(tuple(arguments.only.split("/")))
    ]
    # Exporting needs no GPU: it goes on while the first phases measure.
    since = time.monotonic()
    running = [(phase, runner.start(phase)) for phase in made] if not arguments.in_turn else []
    found = runner.run(_LOOK)
    if not found.get("gpus") and not arguments.small:
        for _, process in running:
            os.killpg(process.pid, signal.SIGKILL)
        raise SystemExit(
            "TensorFlow sees no GPU, so there is nothing to measure and nothing was written. "
            "Expected: a CUDA GPU, and TensorFlow with its CUDA libraries (pip install "
            f"'tensorflow[and-cuda]'). Received: {found.get('error') or 'no device'}. To try "
            "the phases on this CPU: --small --output build/gpu"
        )
    about = {"machine": machine().to_json(), "gpu": _gpu(), "code": _code()}
    for phase in wanted:
        if phase.module in ("decode", "torch_decode"):
            for each in made if arguments.in_turn else ():
                runner.run(each)
            for each, process in running:
                runner.finish(each, process, since)
            made, running = [], []
        if runner.left_s() < _SPARE_S + 9:
            runner.results[phase.name] = {"error": "no time was left"}
            continue
        runner.run(phase)
        _write(arguments.output, {**about, "phases": summary(runner.results)})
    print((arguments.output / "gpu.md").read_text(encoding="utf-8"))


def _write(output: Path, results: dict[str, Any]) -> None:
    (output / "gpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (output / "gpu.md").write_text(render(results), encoding="utf-8")


def _gpu() -> str:
    """Name, driver and memory, as ``nvidia-smi`` has them; empty where there is none."""
    query = "--query-gpu=name,driver_version,memory.total"
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _code() -> str:
    """The commit that is measured; empty where this is no clone."""
    command = ["git", "describe", "--always", "--dirty=, with changes that are not committed"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"commit {done.stdout.strip()}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--material", type=Path, default=Path("build/benchmarks/gpu"))
    parser.add_argument("--version", type=Path, help="of a pushed model; default: the newest")
    add_corpus_option(parser)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--python", default=sys.executable, help="with TensorFlow and CUDA")
    parser.add_argument(
        "--peers", type=Path, default=Path(sys.executable), help="Python with PyTorch for CUDA"
    )
    parser.add_argument("--budget-s", type=float, default=3600.0, help="for all phases")
    parser.add_argument("--only", default="", help="names of phases, or their starts, by /")
    parser.add_argument("--small", action="store_true", help="few points, on a CPU")
    parser.add_argument("--in-turn", action="store_true", help="export while nothing measures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
