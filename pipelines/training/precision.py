"""Matrix products in bfloat16, if the processor has instructions for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import tensorflow as tf

_REWRITE: Final = "auto_mixed_precision_onednn_bfloat16"
_INSTRUCTIONS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def processor_has_bfloat16(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies in bfloat16; False where the system does not tell."""
    if not information.exists():
        return False
    return not _INSTRUCTIONS.isdisjoint(information.read_text(encoding="utf-8").split())


@contextmanager
def bfloat16_products(wanted: bool) -> Iterator[None]:
    """Make TensorFlow functions that are called inside the block multiply matrices in bfloat16.

    Weights, sums, norms, softmax and loss stay float32. This uses TensorFlow's own rewriting of
    graphs for oneDNN; if the processor has no bfloat16 products (x86 without ``avx512_bf16`` or
    AMX, ARM), it has no effect. The setting applies to the process, so it is reset at the end:
    what is evaluated and served later must not be rewritten.
    """
    if not wanted:
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get(_REWRITE, False)
    tf.config.optimizer.set_experimental_options({_REWRITE: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITE: before})
