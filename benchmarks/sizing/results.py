"""What was measured, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import markdown
from benchmarks.environment import Machine

NAMES = {
    "model_server": "model server",
    "gateway": "gateway",
    "database": "PostgreSQL",
}


@dataclass(frozen=True)
class AtRest:
    """A process that nobody asks anything.

    Attributes:
      memory_mib: resident.
      cores: processor time per second: of health checks, the lease, and its own threads.
    """

    process: str
    memory_mib: float
    cores: float


@dataclass(frozen=True)
class AtLoad:
    """A process while clients ask, each its next request when the last one is answered.

    Attributes:
      requests, input_tokens, output_tokens: of all that were answered.
      seconds: how long that took.
      cpu_s: processor time of the process meanwhile.
      memory_mib: resident, at most.
    """

    process: str
    clients: int
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float
    cpu_s: float
    memory_mib: float

    @property
    def cpu_ms_per_request(self) -> float:
        return 1000 * self.cpu_s / self.requests

    @property
    def cpu_ms_per_1k_output_tokens(self) -> float:
        """Where nothing was written, 0."""
        return 1e6 * self.cpu_s / self.output_tokens if self.output_tokens else 0.0

    @property
    def cores(self) -> float:
        return self.cpu_s / self.seconds


def page(
    rest: Sequence[AtRest], load: Sequence[AtLoad], model: str, busy: str, measured_on: Machine
) -> str:
    """The page.

    Args:
      model: what was served, in words.
      busy: what other processes took meanwhile, in words.
    """
    at_rest = markdown.table(
        ("process", "memory", "cores"),
        [
            (NAMES[each.process], f"{each.memory_mib:,.0f} MiB", f"{each.cores:.3f}")
            for each in rest
        ],
    )
    at_load = markdown.table(
        (
            *("process", "clients", "requests per second", "cores", "CPU per request"),
            *("CPU per 1,000 output tokens", "memory at most"),
        ),
        [
            (
                NAMES[each.process],
                str(each.clients),
                f"{each.requests / each.seconds:,.2f}",
                f"{each.cores:.2f}",
                f"{each.cpu_ms_per_request:,.1f} ms",
                f"{each.cpu_ms_per_1k_output_tokens:,.0f} ms",
                f"{each.memory_mib:,.0f} MiB",
            )
            for each in load
        ],
    )
    return (
        markdown.head("What pods take", "make bench-sizing")
        + ": one local model server, asked by gRPC, and one gateway "
        "with a PostgreSQL ledger and no cache, each a process on one machine, with its "
        f"clients. The model is {model}. Each client asks for one summary after the other.\n\n"
        f"## At rest\n\nHealth checks every second, the lease, no request.\n\n{at_rest}\n"
        f"## Under load\n\n{at_load}\n"
        "The CPU that a pod requests is the CPU per request times the requests per second that "
        "it is to take; its memory is the most that is seen here, with room above it. What the "
        "model server takes for a token is the model's own; what the gateway takes for a "
        "request is not. TensorFlow Serving's own binary was not measured here.\n\n"
        f"{measured_on}. {busy}\n"
    )
