"""Reads the descriptions of tensors in a PyTorch file, without executing its contents.

``torch.save`` writes a zip archive: ``data.pkl`` is a pickle of a dict of tensors, each of
which refers to a member of the archive that holds its numbers. A pickle is a program. This
reader knows only the few instructions and names that a dict of tensors needs, checks all of
them before it executes the first, and refuses a file with any other.
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

_MOST_BYTES: Final = 64_000_000  # of a pickle; a model of ten thousand tensors has three
_MOST_MEMO: Final = 10_000_000

# What `torch.save` needs for dicts of tensors, by protocols 2 to 5.
_OPCODES: Final = frozenset(
    (
        "PROTO",
        "FRAME",
        "STOP",
        "GLOBAL",
        "STACK_GLOBAL",
        "MARK",
        "REDUCE",
        "BUILD",
        "BINPERSID",
        "NEWTRUE",
        "NEWFALSE",
        "NONE",
        "EMPTY_DICT",
        "EMPTY_TUPLE",
        "EMPTY_LIST",
        "SETITEM",
        "SETITEMS",
        "APPEND",
        "APPENDS",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "MEMOIZE",
        "BINFLOAT",
    )
)


class TorchPickleError(ValueError):
    """The pickle is not a plain dict of tensors."""


# Tuples, on which a pickle can set nothing: neither an attribute nor what they were made with.
class StorageType(NamedTuple):
    """A type of number, by PyTorch's name for storages of it."""

    name: str
    dtype: Any


class Storage(NamedTuple):
    """A member of the archive that contains a tensor's numbers."""

    kind: StorageType
    member: str
    numbers: int


class TorchTensor(NamedTuple):
    """The location of a tensor's numbers. Offset and strides are in numbers, not in bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Rebuild:
    """In place of PyTorch's function that makes a tensor; nothing can be set on it."""

    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any
    ) -> TorchTensor:
        if not isinstance(storage, Storage):
            raise TorchPickleError(f"a tensor of {storage!r:.80}")
        shape, strides = tuple(shape), tuple(strides)
        if len(shape) != len(strides) or not all(
            type(each) is int and each >= 0 for each in (offset, *shape, *strides)
        ):
            raise TorchPickleError(f"a tensor of shape {shape!r:.80}, strides {strides!r:.80}")
        steps = zip(shape, strides, strict=True)
        last = offset + sum((size - 1) * stride for size, stride in steps)
        if 0 not in shape and last >= storage.numbers:
            raise TorchPickleError(f"a tensor that ends at number {last} of {storage.numbers}")
        return TorchTensor(storage, offset, shape, strides)


class _Parameter:
    """In place of PyTorch's function that makes a parameter of a tensor."""

    __slots__ = ()

    def __call__(self, tensor: Any, *_: Any) -> Any:
        return tensor


_KINDS: Final = {
    f"{name}Storage": StorageType(name, np.dtype(dtype))
    for name, dtype in {
        "Double": np.float64,
        "Float": np.float32,
        "Half": np.float16,
        "BFloat16": ml_dtypes.bfloat16,
        "Long": np.int64,
        "Int": np.int32,
        "Short": np.int16,
        "Char": np.int8,
        "Byte": np.uint8,
        "Bool": np.bool_,
    }.items()
}
# All names that a pickle may use, and what each stands for.
_NAMES: Final[Mapping[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    **{("torch", name): kind for name, kind in _KINDS.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        name = _NAMES.get((module_name, global_name))
        if name is None:
            raise TorchPickleError(f"the name {module_name}.{global_name}")
        return name

    def persistent_load(self, pid: Any) -> Storage:
        if isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage":
            kind, member, _, numbers = pid[1:]
            if (
                isinstance(kind, StorageType)
                and isinstance(member, str)
                and type(numbers) is int
                and numbers >= 0
            ):
                return Storage(kind, member, numbers)
        raise TorchPickleError(f"the reference {pid!r:.80}")


def read_tensors(content: bytes) -> dict[str, TorchTensor]:
    """Read the tensors of a state dict, by name.

    Args:
      content: of ``data.pkl``.

    Raises:
      TorchPickleError: it is too large, not a pickle, or not a dict of tensors. The message
        says what it contains instead.
    """
    _check_opcodes(content)
    try:
        values = _Unpickler(io.BytesIO(content)).load()
    except TorchPickleError:
        raise
    except Exception as error:  # a pickle can fail in any way
        raise TorchPickleError(f"something that cannot be read: {error!r:.200}") from None
    if not isinstance(values, dict):
        raise TorchPickleError(f"a {type(values).__name__}")
    tensors = dict(values)  # without the attributes that a pickle may have set on it
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, TorchTensor):
            raise TorchPickleError(f"{name!r:.80}, a {type(value).__name__}")
    return tensors


def _check_opcodes(content: bytes) -> None:
    if len(content) > _MOST_BYTES:
        raise TorchPickleError(f"{len(content)} bytes")
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in _OPCODES:
                raise TorchPickleError(f"the instruction {opcode.name}")
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > _MOST_MEMO:
                raise TorchPickleError(f"a memo of {argument}")
            if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in _NAMES:
                raise TorchPickleError(f"the name {str(argument).replace(' ', '.')}")
    except TorchPickleError:
        raise
    except Exception as error:
        raise TorchPickleError(f"something that is not a pickle: {error!r:.200}") from None
