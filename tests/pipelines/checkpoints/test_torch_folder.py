"""``pytorch_model.bin``: read without PyTorch, and without running what is in it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.checkpoints.description import CheckpointError
from pipelines.checkpoints.opening import open_checkpoint
from pipelines.checkpoints.safetensors_folder import SafetensorsFolder
from pipelines.checkpoints.torch_folder import TorchFolder
from tests.pipelines.checkpoints.fixture_checkpoints import FIXTURES

FILES = FIXTURES / "torch"
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture
def folder(copied: Callable[[str], Path]) -> Path:
    """The T5 of the fixtures with its weights as PyTorch keeps them."""
    t5 = copied("t5")
    (t5 / "model.safetensors").unlink()
    shutil.copy(FILES / "pytorch_model.bin", t5)
    return t5


def test_the_same_numbers_as_in_safetensors(folder: Path) -> None:
    ours, theirs = TorchFolder(folder), SafetensorsFolder(FIXTURES / "t5")
    assert ours.shapes.keys() - theirs.shapes.keys() == {
        "encoder.embed_tokens.weight",
        "lm_head.weight",
    }
    for name, shape in theirs.shapes.items():
        assert ours.shapes[name] == shape
        np.testing.assert_array_equal(ours.read(name), theirs.read(name), err_msg=name)
    assert open_checkpoint(folder).description == open_checkpoint(FIXTURES / "t5").description


def test_shards_of_bfloat16(folder: Path) -> None:
    (folder / "pytorch_model.bin").unlink()
    for file in FILES.glob("pytorch_model*0000*"):
        shutil.copy(file, folder)
    shutil.copy(FILES / INDEX, folder)
    theirs = SafetensorsFolder(FIXTURES / "t5")
    ours = TorchFolder(folder)
    for name in theirs.shapes:
        np.testing.assert_allclose(ours.read(name), theirs.read(name), rtol=2**-8)
    assert {path.name for path in ours.paths()} == {
        INDEX,
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
    }
    open_checkpoint(folder)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match=r"00002-of-00002.bin does not exist"):
        open_checkpoint(folder)


def test_safetensors_come_first(folder: Path) -> None:
    shutil.copy(FIXTURES / "t5" / "model.safetensors", folder)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert {path.name for path in open_checkpoint(folder).files()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }


def test_the_format_before_1_6(folder: Path) -> None:
    shutil.copy(FILES / "before_1.6.bin", folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"PyTorch's format since 1.6.*save_pretrained"):
        open_checkpoint(folder)


def test_a_file_that_is_cut_short(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"not a zip archive"):
        open_checkpoint(folder)


def rewrite(folder: Path, change: Callable[[dict[str, bytes]], Any], **options: Any) -> None:
    """Write the archive again with its members changed."""
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def member(members: dict[str, bytes], ending: str) -> str:
    return next(name for name in members if name.endswith(ending))


class _Runs:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.reduced


def pickles(path: Path) -> dict[str, bytes]:
    """Pickles that run something, use up memory, or are no dict of tensors."""
    touch = f"open({str(path)!r}, 'w')"
    by_opcode = {
        "a memo of 4 GB": b"\x80\x02}r\xff\xff\xff\xff.",
        "an instance by INST": b"(S'x'\nios\nsystem\n.",
        "an instance by OBJ": b"(cos\nsystem\nX\x01\x00\x00\x00xo.",
        "an extension": b"\x80\x02\x82\x01.",
        "a reference by a line": b"Pstorage\n.",
        "a name out of a stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
        # What a name stands for cannot be changed by the instruction that sets attributes.
        "attributes set on a name": (
            b"\x80\x02ctorch\nFloatStorage\nN}X\x05\x00\x00\x00dtypeX\x01\x00\x00\x00xs\x86b."
        ),
        "attributes set on a function": (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
            b"N}X\x08\x00\x00\x00__call__X\x01\x00\x00\x00xs\x86b."
        ),
        # A tensor that grows beyond its numbers after they were counted.
        "attributes set on a tensor": (
            b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n"
            b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
            b"X\x03\x00\x00\x00cpuK\x01tQK\x00))\x89)tR"
            b"N}X\x06\x00\x00\x00offsetK\xffs\x86bs."
        ),
        "no pickle": b"PK\x03\x04",
        "nothing": b"",
        "cut short": b"\x80\x02}X\xff\x00\x00\x00ab",
    }
    return by_opcode | {
        "a call of the system": pickle.dumps(_Runs(os.system, f"touch {path}"), 2),
        "an evaluation": pickle.dumps(_Runs(eval, touch), 2),
        "an import": pickle.dumps(_Runs(__import__, "antigravity"), 2),
        "an attribute": pickle.dumps(_Runs(getattr, "", "join"), 2),
        "another of torch's names": b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
        "a call in a dict": pickle.dumps({"a": _Runs(os.system, f"touch {path}")}, 4),
        "a list": pickle.dumps([1, 2], 2),
        "a dict in a dict": pickle.dumps({"state_dict": {}}, 2),
        "numbers": pickle.dumps({"a": 1}, 2),
    }


@pytest.mark.parametrize("name", [*pickles(Path("x"))])
def test_hostile_pickles_are_refused_and_not_run(
    folder: Path, tmp_path: Path, name: str
) -> None:
    made = tmp_path / "was_run"
    content = pickles(made)[name]
    rewrite(folder, lambda members: members.update({member(members, "data.pkl"): content}))
    with pytest.raises(
        CheckpointError, match=r"not a plain dict of tensors.* None of its contents were"
    ):
        open_checkpoint(folder)
    assert not made.exists()


def test_numbers_that_are_missing(folder: Path) -> None:
    sizes = []

    def shorten(members: dict[str, bytes]) -> None:
        name = member(members, "/data/0")
        sizes.append(len(members[name]))
        members[name] = members[name][:-4]

    rewrite(folder, shorten)
    (size,) = sizes
    with pytest.raises(CheckpointError, match=rf"must be {size} bytes, with {size - 4}"):
        open_checkpoint(folder)


def test_shapes_that_the_numbers_do_not_have(folder: Path) -> None:
    """The shape in the pickle itself: one row more than there is."""

    def grow(members: dict[str, bytes]) -> None:
        name = member(members, "data.pkl")
        rows, width = b"Kp", b"K\x18"  # 112 and 24, as BININT1
        assert rows + width in members[name]
        members[name] = members[name].replace(rows + width, b"Kq" + width, 1)

    rewrite(folder, grow)
    with pytest.raises(CheckpointError, match=r"a tensor that ends at number 2711 of 2688"):
        open_checkpoint(folder)


def test_compressed_members(folder: Path) -> None:
    rewrite(folder, lambda members: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="an archive with compressed members"):
        open_checkpoint(folder)


def test_another_byte_order(folder: Path) -> None:
    rewrite(folder, lambda members: members.update({member(members, "byteorder"): b"big"}))
    with pytest.raises(CheckpointError, match="byte order b'big'"):
        open_checkpoint(folder)


def test_an_index_names_what_a_shard_lacks(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"none.such": "pytorch_model.bin"}}))
    with pytest.raises(
        CheckpointError, match=r"lacks the tensor none.such, which .*index.json"
    ):
        open_checkpoint(folder)
