"""The kernels of a decoder layer, in the layouts that steps of one and of several rows want."""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf

from pipelines.models.attention import dense

# Of a step; the cross-attention's keys and values are projected once, for all of the input.
_OF_A_STEP: Final = ("qkv", "self_out", "cross_q", "cross_out", "ff_in", "ff_out")


class LayerKernels(tf.Module):
    """A layer whose kernels, ``[in, out]``, are attributes; ``NAME_bias`` is one's bias."""

    def turn(self) -> None:
        """Store the kernels of a step as ``[out, in]`` too, for two to four rows."""
        self.turned = {
            name: tf.Variable(np.ascontiguousarray(getattr(self, name).numpy().T), False)
            for name in _OF_A_STEP
        }

    def product(self, name: str, x: tf.Tensor, turned: bool = False) -> tf.Tensor:
        """``x [..., in]`` times a kernel, with its bias; by its other layout if ``turned``.

        With few rows a product is bound by reading the kernel. Three rows then take as long as
        one if the kernel is ``[out, in]``, and a third longer if it is ``[in, out]``.
        """
        bias = getattr(self, f"{name}_bias", None)
        if not turned:
            return dense(x, getattr(self, name), bias)
        flat = tf.matmul(x, self.turned[name], transpose_b=True)
        return flat if bias is None else tf.nn.bias_add(flat, bias)
