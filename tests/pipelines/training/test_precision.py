"""Products in bfloat16: inside only, and never further off than bfloat16 is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.training.precision import bfloat16_products, processor_has_bfloat16


def rewrites() -> bool:
    options = tf.config.optimizer.get_experimental_options()
    return options.get("auto_mixed_precision_onednn_bfloat16", False)


def test_products_are_float32_again_outside_even_after_an_error() -> None:
    random = np.random.default_rng(0)
    a, b = (tf.constant(random.normal(size=(64, 64)), tf.float32) for _ in range(2))
    product = tf.function(lambda: tf.nn.relu(tf.matmul(tf.nn.relu(a + 1), b)))
    exact = product().numpy()
    with pytest.raises(RuntimeError, match="some"), bfloat16_products(True):
        assert rewrites()
        inside = product().numpy()
        raise RuntimeError("some error")
    assert not rewrites()
    np.testing.assert_array_equal(product().numpy(), exact)
    assert inside.dtype == np.float32
    # A sum of 64 products of numbers with 8 bits each; equal where the processor has none.
    np.testing.assert_allclose(inside, exact, atol=0.2)


def test_it_is_off_unless_it_is_wanted() -> None:
    with bfloat16_products(False):
        assert not rewrites()


def test_instructions_are_told_by_name(tmp_path: Path) -> None:
    information = tmp_path / "cpuinfo"
    assert not processor_has_bfloat16(information)
    information.write_text("model name : A\nflags : fpu avx512f\n")
    assert not processor_has_bfloat16(information)
    information.write_text("model name : B\nflags : fpu amx_bf16 avx512f\n")
    assert processor_has_bfloat16(information)
