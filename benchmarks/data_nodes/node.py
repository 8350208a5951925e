"""``python -m benchmarks.data_nodes.node``: runs one node of a pipeline, and says what it took.

The nodes that it depends on come from ML Metadata if they ran before; else they run first and
are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from pipelines.config import load_config
from pipelines.layout import OutputLayout
from pipelines.local_runner import LocalRunner, NodeResult
from pipelines.node_definitions import NodeDefinition
from pipelines.pipeline import create_pipeline

# A small model: what the nodes before Evaluator take is not measured.
CONFIG: Final = Path("configs/tiny.toml")
VOCABULARY: Final = 8_000
_SAMPLE_EVERY_S: Final = 0.1


class NodeEndedError(Exception):
    """The node that is measured has ended."""


class Measured:
    """Listens to a run, and measures one node of it.

    Attributes:
      seconds: that the node took; 0 before it ended.
      resident_before, resident_most: bytes of memory of this process and its children as the
          node began, and the most that was seen until it ended.
    """

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._ended = threading.Event()
        self._sampling = threading.Thread(target=self._sample, daemon=True)
        self.seconds = 0.0
        self.resident_before = self.resident_most = 0

    def run_started(self, nodes: Sequence[NodeDefinition]) -> None:
        """Nothing: the node's own start counts."""

    def node_started(self, index: int, count: int, node_id: str) -> None:
        """Begin to watch the memory."""
        if node_id == self._node_id:
            self.resident_before = self.resident_most = _resident()
            self._sampling.start()

    def node_finished(self, index: int, count: int, result: NodeResult) -> None:
        """Keep what the node took.

        Raises:
          NodeEndedError: that node has ended.
          SystemExit: its result was there already.
        """
        if result.node_id != self._node_id:
            return
        self._ended.set()
        self._sampling.join()
        if result.cached:
            raise SystemExit(f"{self._node_id} ran before: name an empty folder for the output")
        self.seconds = result.seconds
        raise NodeEndedError

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_EVERY_S):
            self.resident_most = max(self.resident_most, _resident())


def beam_args(workers: int) -> list[str]:
    """Beam's options for so many worker processes on this machine; one is this process."""
    if workers == 1:
        return []
    return ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]


def _resident() -> int:
    process = psutil.Process()
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
    return total


def main() -> None:
    """Run the node, and write what it took as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_nodes.node")
    parser.add_argument("--corpus", required=True, help="files, as a pattern")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--node", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--result", type=Path, required=True, help="file for the result")
    arguments = parser.parse_args()
    settings = (
        f"tokenizer.vocab_size={VOCABULARY}",
        f"pipeline.beam_args={json.dumps(beam_args(arguments.workers))}",
    )
    config = load_config(CONFIG, list(settings))
    layout = OutputLayout(arguments.output, config.pipeline.name)
    layout.create()
    pipeline = create_pipeline(config, arguments.corpus, layout)
    measured = Measured(arguments.node)
    with contextlib.suppress(NodeEndedError):  # those after it are not asked for
        LocalRunner(measured).run(pipeline)
    arguments.result.write_text(
        json.dumps(
            {
                "seconds": measured.seconds,
                "resident_before": measured.resident_before,
                "resident_most": measured.resident_most,
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
