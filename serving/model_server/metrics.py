"""Counters and histograms under TensorFlow Serving's names, as Prometheus text.

TensorFlow Serving's exporter differs from the usual client libraries in names (``:`` for ``/``,
no ``_total``) and buckets, and dashboards depend on its names.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from itertools import accumulate

# Exponential(10, 1.8, 33): 10 us to about 20 minutes.
_LATENCY_LIMITS_US = tuple(10 * 1.8**power for power in range(33))
# Exponential(100, 1.2, 52): 100 us to about a second.
_QUEUING_LIMITS_US = tuple(100 * 1.2**power for power in range(52))
# Exponential(1, 2, 14).
_BATCH_SIZE_LIMITS = tuple(float(2**power) for power in range(14))

# Model names come from requests: without a bound, made-up names would fill the memory.
MAX_CELLS = 1000
_OTHER = "other"


def _metric_name(path: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else ":" for c in path)


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for value in values
    )
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


class Counter:
    """A number that only grows, for each combination of label values."""

    def __init__(self, path: str, *labels: str) -> None:
        self.path = path
        self._names = labels
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], int] = {}

    def add(self, *values: str, by: int = 1) -> None:
        with self._lock:
            if values not in self._cells and len(self._cells) >= MAX_CELLS:
                values = (_OTHER,) * len(values)
            self._cells[values] = self._cells.get(values, 0) + by

    def total(self) -> int:
        with self._lock:
            return sum(self._cells.values())

    def lines(self) -> list[str]:
        name = _metric_name(self.path)
        with self._lock:
            cells = sorted(self._cells.items())
        if not cells:
            return []
        return [
            f"# TYPE {name} counter",
            *(f"{name}{{{_labels(self._names, values)}}} {count}" for values, count in cells),
        ]


class Histogram:
    """How often a number fell into each bucket, for each combination of label values."""

    def __init__(self, path: str, *labels: str, limits: tuple[float, ...]) -> None:
        """
        Args:
          limits: the buckets' upper limits; a number that equals one is in the next bucket,
            as in TensorFlow Serving.
        """
        self.path = path
        self._limits = limits
        self._names = labels
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, *values: str, value: float) -> None:
        with self._lock:
            if values not in self._cells and len(self._cells) >= MAX_CELLS:
                values = (_OTHER,) * len(values)
            buckets, total = self._cells.setdefault(
                values, ([0] * (len(self._limits) + 1), [0.0])
            )
            buckets[bisect_right(self._limits, value)] += 1
            total[0] += value

    def lines(self) -> list[str]:
        name = _metric_name(self.path)
        with self._lock:
            cells = sorted(
                (values, list(buckets), total[0])
                for values, (buckets, total) in self._cells.items()
            )
        if not cells:
            return []
        lines = [f"# TYPE {name} histogram"]
        limits = [*(f"{limit:.6g}" for limit in self._limits), "+Inf"]
        for values, buckets, total in cells:
            labels = _labels(self._names, values)
            for limit, count in zip(limits, accumulate(buckets), strict=True):
                bucket = f'{labels}{"," if labels else ""}le="{limit}"'
                lines.append(f"{name}_bucket{{{bucket}}} {count}")
            lines.append(f"{name}_sum{{{labels}}} {total:.6g}")
            lines.append(f"{name}_count{{{labels}}} {sum(buckets)}")
        return lines


def _latency(path: str, *labels: str) -> Histogram:
    """Wall times in microseconds."""
    return Histogram(path, *labels, limits=_LATENCY_LIMITS_US)


class Metrics:
    """Everything that this server counts; one instance per process."""

    def __init__(self) -> None:
        self.requests = Counter("/tensorflow/serving/request_count", "model_name", "status")
        self.request_latency = _latency(
            "/tensorflow/serving/request_latency", "model_name", "API", "entrypoint"
        )
        self.runtime_latency = _latency(
            "/tensorflow/serving/runtime_latency", "model_name", "API", "runtime"
        )
        self.warmup_latency = _latency(
            "/tensorflow/serving/model_warmup_latency", "model_path", "status"
        )
        self.load_attempts = Counter(
            "/tensorflow/cc/saved_model/load_attempt_count", "model_path", "status"
        )
        self.request_logs = Counter(
            "/tensorflow/serving/request_log_count", "model_name", "status_code"
        )
        batching = "/tensorflow/serving/batching_session"
        self.queuing_latency = Histogram(
            f"{batching}/queuing_latency", "thread_pool_name", limits=_QUEUING_LIMITS_US
        )
        self.wrapped_runs = Counter(f"{batching}/wrapped_run_count")
        self.input_batch_size = Histogram(
            f"{batching}/input_batch_size", limits=_BATCH_SIZE_LIMITS
        )
        self.processed_batch_size = Histogram(
            f"{batching}/processed_batch_size", limits=_BATCH_SIZE_LIMITS
        )
        self.padding_size = Histogram(
            f"{batching}/padding_size", "execution_batch_size", limits=_BATCH_SIZE_LIMITS
        )
        self._all = (
            self.load_attempts,
            self.warmup_latency,
            self.requests,
            self.request_latency,
            self.runtime_latency,
            self.request_logs,
            self.queuing_latency,
            self.wrapped_runs,
            self.input_batch_size,
            self.processed_batch_size,
            self.padding_size,
        )

    def page(self) -> str:
        """Return the text that Prometheus scrapes."""
        return "\n".join(line for metric in self._all for line in metric.lines()) + "\n"
