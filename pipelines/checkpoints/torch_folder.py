"""Weights in PyTorch's format: ``pytorch_model.bin``, or an index and several; read without
PyTorch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.torch_pickle import TorchPickleError, TorchTensor, read_tensors
from pipelines.checkpoints.weights_folder import Array, WeightsFolder, file_by_tensor

TORCH_FILE: Final = "pytorch_model.bin"
TORCH_INDEX_FILE: Final = "pytorch_model.bin.index.json"
_FLOATS: Final = ("Double", "Float", "Half", "BFloat16")
_PICKLE: Final = "/data.pkl"
_ADVICE: Final = (
    "Save the model again as safetensors, on its source machine or wherever PyTorch is "
    "installed: AutoModelForSeq2SeqLM.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)


class _File(NamedTuple):
    """One archive.

    Attributes:
      root: the folder that all its members are in.
      tensors: what it holds, by name.
    """

    path: Path
    root: str
    tensors: dict[str, TorchTensor]


class TorchFolder(WeightsFolder):
    """The tensors of a folder by name. Opening reads their descriptions, not their numbers."""

    def __init__(self, directory: Path) -> None:
        """Open the files; see `pipelines.checkpoints.torch_pickle` for what is read.

        Raises:
          CheckpointError: a file is missing or is not an archive that contains only tensors, or
            the index names a tensor that its file lacks.
        """
        self.directory = directory
        places: dict[str, str] = {}
        if (directory / TORCH_INDEX_FILE).exists():
            places = file_by_tensor(directory / TORCH_INDEX_FILE)
        names = set(places.values()) or {TORCH_FILE}
        self._files = {name: _open(directory / name) for name in sorted(names)}
        for tensor, name in places.items():
            if tensor not in self._files[name].tensors:
                raise CheckpointError(
                    f"{directory / name} lacks the tensor {tensor}, which should be in it "
                    f"according to {TORCH_INDEX_FILE}"
                )
        self._where = places or dict.fromkeys(self._files[TORCH_FILE].tensors, TORCH_FILE)
        self.shapes = {
            tensor: self._files[name].tensors[tensor].shape
            for tensor, name in self._where.items()
        }

    def paths(self) -> list[Path]:
        names = [*self._files]
        if (self.directory / TORCH_INDEX_FILE).exists():
            names.append(TORCH_INDEX_FILE)
        return [self.directory / name for name in names]

    def read(self, tensor: str) -> Array:
        file = self._files[self._where[tensor]]
        value = file.tensors[tensor]
        kind = value.storage.kind
        if kind.name not in _FLOATS:
            raise CheckpointError(
                f"the tensor {tensor} in {file.path} does not contain floats. Expected: one "
                f"of {', '.join(_FLOATS)}. Received: {kind.name}"
            )
        with zipfile.ZipFile(file.path) as archive:
            content = archive.read(f"{file.root}/data/{value.storage.member}")
        numbers = np.frombuffer(content, kind.dtype)[value.offset :]
        # Strides were checked against the storage when the file was opened.
        view = np.lib.stride_tricks.as_strided(
            numbers, value.shape, [stride * kind.dtype.itemsize for stride in value.strides]
        )
        return view.astype(np.float32)


def _open(path: Path) -> _File:
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist. Expected: the weights as {TORCH_FILE}, or "
            f"{TORCH_INDEX_FILE} with the files it names"
        ) from None
    except zipfile.BadZipFile:
        raise CheckpointError(
            f"{path} is not a zip archive. Expected: PyTorch's format since 1.6. Received: "
            "an older format, which is a chain of pickles and not supported, or a "
            f"truncated file. {_ADVICE}"
        ) from None
    except TorchPickleError as error:
        raise CheckpointError(
            f"{path} is not a plain dict of tensors. Expected: what "
            f"torch.save(model.state_dict(), ...) writes. Received: {error}. None of its "
            f"contents were executed. {_ADVICE}"
        ) from None


def _read(path: Path, archive: zipfile.ZipFile) -> _File:
    members = {member.filename: member for member in archive.infolist()}
    roots = [name.removesuffix(_PICKLE) for name in members if name.endswith(_PICKLE)]
    if len(roots) != 1:
        raise TorchPickleError(f"an archive with {len(roots)} files {_PICKLE.strip('/')}")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise TorchPickleError("an archive with compressed members")
    root = roots[0]
    order = f"{root}/byteorder"
    if order in members and archive.read(order) != b"little":
        raise TorchPickleError(f"numbers in the byte order {archive.read(order)[:10]!r}")
    tensors = read_tensors(archive.read(root + _PICKLE))
    for name, tensor in tensors.items():
        storage = tensor.storage
        member = members.get(f"{root}/data/{storage.member}")
        size = storage.numbers * storage.kind.dtype.itemsize
        if member is None or member.file_size != size:
            raise TorchPickleError(
                f"{name}, whose numbers must be {size} bytes, with "
                f"{'none' if member is None else member.file_size}"
            )
    return _File(path, root, tensors)
