"""Which GPU there is, whether what it computes is right, and how fast it is at most."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.platform import build_info

from benchmarks.gpu.child import Report, timed

_SIZE = 512
_LARGE = 8192


def measure(report: Report, rates: bool = True) -> dict[str, Any]:
    """Look at the GPU.

    Returns:
      ``gpus`` by name (empty where TensorFlow sees none), relative errors of products by
      arithmetic, the largest error of a function that XLA compiles, and TFLOP/s.
    """
    del report
    gpus = tf.config.list_physical_devices("GPU")
    found: dict[str, Any] = {
        "tensorflow": tf.__version__,
        "cuda": build_info.build_info.get("cuda_version", ""),
        "gpus": [
            {key: str(value) for key, value in details.items()}
            for details in map(tf.config.experimental.get_device_details, gpus)
        ],
    }
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((_SIZE, _SIZE)).astype(np.float32) for _ in range(2))
    exact = x.astype(np.float64) @ y.astype(np.float64)

    def error(product: tf.Tensor) -> float:
        difference = tf.cast(product, tf.float64).numpy() - exact
        return float(np.linalg.norm(difference) / np.linalg.norm(exact))

    with _tf32(True):
        found["error_tf32"] = error(tf.matmul(x, y))
    with _tf32(False):
        found["error_float32"] = error(tf.matmul(x, y))
    halves = (tf.cast(each, tf.bfloat16) for each in (x, y))
    found["error_bfloat16"] = error(tf.matmul(*halves))
    compiled = tf.function(
        lambda p, q: tf.exp(-tf.abs(tf.matmul(p, q))) + tf.tanh(p), jit_compile=True
    )
    expected = np.exp(-np.abs(exact)) + np.tanh(x)
    with _tf32(False):
        found["largest_error_xla"] = float(np.abs(compiled(x, y).numpy() - expected).max())
    if rates and gpus:
        for name, dtype, on in (
            ("float32", tf.float32, False),
            ("tf32", tf.float32, True),
            ("bfloat16", tf.bfloat16, True),
        ):
            with _tf32(on):
                found[f"tflops_{name}"] = _rate(dtype)
    return found


@contextmanager
def _tf32(on: bool) -> Iterator[None]:
    """Inside, products of float32 are tf32's, or are not."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(on)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _rate(dtype: tf.DType) -> float:
    """TFLOP/s of a large product."""
    x = tf.cast(tf.random.normal([_LARGE, _LARGE]), dtype)
    product: Callable[[], tf.Tensor] = tf.function(lambda: tf.matmul(x, x))
    _, seconds = timed(lambda: float(tf.cast(product()[0, 0], tf.float32)), most_s=0.3)
    return round(2 * _LARGE**3 / statistics.median(seconds) / 1e12, 1)
