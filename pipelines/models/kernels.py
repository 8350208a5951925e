"""The matrices of a model as they are stored: in float32, in both layouts, or in int8."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from pipelines.models.arithmetic import Arithmetic, FloatArithmetic
from pipelines.models.attention import dense
from pipelines.models.exact_arithmetic import ExactArithmetic, rounded, settled

Matrix = npt.NDArray[np.float32]

_LARGEST: Final = 127  # of an int8 whose range is symmetric
# A row or a column of zeros has this scale instead of 0.
_SMALLEST: Final = np.float32(1e-30)

# A greedy decision is in doubt when the best logit leads the second by less than this share of
# the larger of 1 and its own size. Rounding was measured at under a hundredth of it (on an H200
# 3e-6 in float32, and nearly half of it in tf32: docs/benchmarks/gpu.md); one row in some
# hundreds is in doubt.
DOUBT: Final = 1e-3


class Kernel(tf.Module, metaclass=abc.ABCMeta):
    """A matrix ``[in, out]`` that rows are multiplied by, and the bias that is then added."""

    def __init__(self, bias: Matrix | None) -> None:
        """Store a bias, ``[out]``."""
        super().__init__()
        self.bias = None if bias is None else frozen(bias)

    def __call__(self, x: tf.Tensor, of_one_row: bool = False) -> tf.Tensor:
        """Return ``x @ matrix + bias``.

        Args:
          x: float32 ``[..., in]``.
          of_one_row: whether these are a few positions of one row.

        Returns:
          float32 ``[..., out]``.
        """
        if x.shape.rank == 2:
            return self._product(x, of_one_row)
        shape = tf.shape(x)
        flat = self._product(tf.reshape(x, [-1, x.shape[-1]]), of_one_row)
        return tf.reshape(flat, tf.concat([shape[:-1], [flat.shape[-1]]], axis=0))

    def turn(self) -> None:
        """Get ready for products with a few positions of one row."""

    @property
    @abc.abstractmethod
    def weights(self) -> int:
        """The number of the matrix's weights."""

    @abc.abstractmethod
    def _product(self, x: tf.Tensor, of_one_row: bool) -> tf.Tensor:
        """The product of ``x [rows, in]``."""


class FloatKernel(Kernel):
    """A kernel in float32, ``[in, out]``; once turned, also ``[out, in]``."""

    def __init__(self, matrix: Matrix, bias: Matrix | None = None) -> None:
        super().__init__(bias)
        self.matrix = frozen(matrix)
        self.turned: tf.Variable | None = None

    def turn(self) -> None:
        """Store the matrix as ``[out, in]`` too.

        With few rows a product is bound by reading the matrix. Three rows then take as long as
        one if it is ``[out, in]``, and a third longer if it is ``[in, out]``.
        """
        self.turned = frozen(np.ascontiguousarray(self.matrix.numpy().T))

    @property
    def weights(self) -> int:
        return int(self.matrix.shape.num_elements())

    def _product(self, x: tf.Tensor, of_one_row: bool) -> tf.Tensor:
        if not of_one_row or self.turned is None:
            return dense(x, self.matrix, self.bias)
        flat = tf.matmul(x, self.turned, transpose_b=True)
        return flat if self.bias is None else tf.nn.bias_add(flat, self.bias)


class Int8Kernel(Kernel):
    """A kernel in int8, ``[out, in]``, with one scale for each output.

    Each row that is multiplied is quantised as it comes, with one scale for the row. Products
    of integers are summed in int32, which is exact, so a row's sums do not depend on the batch.
    """

    def __init__(self, steps: tf.Variable, scales: Matrix, bias: Matrix | None = None) -> None:
        """Use integers that are stored already.

        Args:
          steps: int8 ``[out, in]``.
          scales: float32 ``[out]``, what one step of each output is worth.
          bias: see `Kernel`.
        """
        super().__init__(bias)
        self.steps = steps
        self.scales = frozen(scales)

    @classmethod
    def of(cls, matrix: Matrix, bias: Matrix | None = None) -> Int8Kernel:
        """Quantise a matrix ``[in, out]``."""
        steps, scales = quantised(matrix.T)
        return cls(frozen(steps), scales, bias)

    @property
    def weights(self) -> int:
        return int(self.steps.shape.num_elements())

    def _product(self, x: tf.Tensor, of_one_row: bool) -> tf.Tensor:
        del of_one_row  # this layout is the one that few rows want
        steps, most = rounded(x, _LARGEST)
        steps = tf.cast(steps, tf.int8)
        sums = tf.matmul(steps, self.steps, transpose_b=True, output_type=tf.int32)
        worth = most * (1.0 / _LARGEST)
        product = settled(tf.cast(sums, tf.float32) * worth * self.scales)
        return product if self.bias is None else product + self.bias


class Table(tf.Module, metaclass=abc.ABCMeta):
    """Embeddings, ``[vocabulary, d_model]``."""

    @abc.abstractmethod
    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Return float32 ``[..., d_model]`` for int32 ids ``[...]``."""

    @abc.abstractmethod
    def head(self, scale: np.float32, bias: Matrix | None = None) -> Kernel:
        """Return the kernel of a tied head: the rows times a scale, turned, with a bias."""


class FloatTable(Table):
    """Embeddings in float32."""

    def __init__(self, rows: Matrix) -> None:
        super().__init__()
        self.rows = frozen(rows)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        # A gather from the variable itself would make each read of it a copy.
        return tf.gather(tf.identity(self.rows), ids)

    def head(self, scale: np.float32, bias: Matrix | None = None) -> Kernel:
        # Apart: a product with [d_model, vocabulary] takes half the time of one with its
        # transpose.
        return FloatKernel(scale * self.rows.numpy().T, bias)


class Int8Table(Table):
    """Embeddings in int8 with one scale a row, which a tied head shares."""

    def __init__(self, rows: Matrix) -> None:
        super().__init__()
        steps, scales = quantised(rows)
        self.steps, self.scales = frozen(steps), frozen(scales)

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        steps = tf.gather(tf.identity(self.steps), ids)
        scales = tf.gather(tf.identity(self.scales), ids)
        return settled(tf.cast(steps, tf.float32) * scales[..., tf.newaxis])

    def head(self, scale: np.float32, bias: Matrix | None = None) -> Kernel:
        return Int8Kernel(self.steps, scale * self.scales.numpy(), bias)


class MakeKernel(Protocol):
    """Stores a matrix ``[in, out]`` with its bias."""

    def __call__(self, matrix: Matrix, bias: Matrix | None = None) -> Kernel: ...


@dataclass(frozen=True, slots=True)
class Storage:
    """How a model's weights are stored, and what is computed with them.

    Attributes:
      kernel, table: store each of its kernels, and its embeddings.
      arithmetic: makes the rest, for heads of a width and rows of so many positions at most.
      doubt: the lead below which a greedy decision is in doubt; see `DOUBT`. 0: a row's logits
        have the same bits in every batch, so none is.
      fewest_rows: rows that a step of greedy search has at least; a row alone is decoded as so
        many equal ones.
    """

    kernel: MakeKernel
    table: Callable[[Matrix], Table]
    arithmetic: Callable[[int, int], Arithmetic]
    doubt: float
    fewest_rows: int


FLOAT32: Final = Storage(
    FloatKernel, FloatTable, lambda *_: FloatArithmetic(), DOUBT, fewest_rows=1
)
# With int8 no margin will do. Where rounding moves a value over the edge between two integers,
# what follows moves by far more than rounding. So here nothing is rounded in two ways. XLA's
# product of one row with a kernel in int8 takes longer than that of two.
INT8: Final = Storage(Int8Kernel.of, Int8Table, ExactArithmetic, doubt=0.0, fewest_rows=2)
# By what `export.weights` calls them.
STORAGES: Final = {"float32": FLOAT32, "int8": INT8}


def quantised(rows: Matrix) -> tuple[npt.NDArray[np.int8], Matrix]:
    """Return rows as int8 from -127 to 127, and the scale of each, float32 ``[rows]``."""
    scales = np.maximum(np.abs(rows).max(axis=1), _SMALLEST) / np.float32(_LARGEST)
    steps = np.rint(rows / scales[:, np.newaxis]).astype(np.int8)
    return np.ascontiguousarray(steps), scales


def frozen(values: npt.ArrayLike) -> tf.Variable:
    """A variable that is not trained."""
    return tf.Variable(np.asarray(values), trainable=False)
